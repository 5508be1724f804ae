//! Why a request was decided as it was, in so few words that they can be the labels of a metric.
//!
//! Invariant: the words are a fixed set. Nothing that a caller sends becomes a label.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It asks for the agent, and gets it.
    Asked,
    /// It asks, and has all of it already.
    Complete,
    /// It does not ask.
    NotAsked,
    /// Nothing is being created.
    Operation,
    /// It asks from a namespace of the cluster's own.
    SystemNamespace,
    /// It asks from the injector's namespace.
    OwnNamespace,
    /// It asks, but is the kubelet's copy of what already runs.
    StaticPod,
    /// The request is about something else.
    NotAPod,
    /// An annotation says what cannot be.
    Annotation,
    /// The agent cannot be put into such a pod.
    Placement,
    /// The pod is none that Kubernetes would take.
    Pod,
    /// The review has an uid, and is unreadable beyond it.
    Review,
    /// The body is no review of a version that is spoken here.
    #[default]
    NotAReview,
    /// Another path than `/mutate`.
    Path,
    /// Another method than POST.
    Method,
    /// No JSON is announced.
    ContentType,
    /// The body is over the limit.
    TooLarge,
    /// The body took too long.
    TooSlow,
    /// The body ended early.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The agent was put into the pod.
    Patched,
    /// The agent was in the pod already.
    Unchanged,
    /// The pod did not ask, or is none of our business.
    Untouched,
    /// The pod asked for something that cannot be.
    Denied,
    /// The request is not a review that can be answered.
    Refused,
}

impl Reason {
    pub(crate) const ALL: [Self; 19] = [
        Self::Asked,
        Self::Complete,
        Self::NotAsked,
        Self::Operation,
        Self::SystemNamespace,
        Self::OwnNamespace,
        Self::StaticPod,
        Self::NotAPod,
        Self::Annotation,
        Self::Placement,
        Self::Pod,
        Self::Review,
        Self::NotAReview,
        Self::Path,
        Self::Method,
        Self::ContentType,
        Self::TooLarge,
        Self::TooSlow,
        Self::Broken,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Complete => "complete",
            Self::NotAsked => "not_asked",
            Self::Operation => "operation",
            Self::SystemNamespace => "system_namespace",
            Self::OwnNamespace => "own_namespace",
            Self::StaticPod => "static_pod",
            Self::NotAPod => "not_a_pod",
            Self::Annotation => "annotation",
            Self::Placement => "placement",
            Self::Pod => "pod",
            Self::Review => "review",
            Self::NotAReview => "not_a_review",
            Self::Path => "path",
            Self::Method => "method",
            Self::ContentType => "content_type",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
        }
    }

    /// What such a request always comes to.
    pub(crate) fn decision(self) -> Decision {
        match self {
            Self::Asked => Decision::Patched,
            Self::Complete => Decision::Unchanged,
            Self::NotAsked
            | Self::Operation
            | Self::SystemNamespace
            | Self::OwnNamespace
            | Self::StaticPod
            | Self::NotAPod => Decision::Untouched,
            Self::Annotation | Self::Placement | Self::Pod | Self::Review => Decision::Denied,
            Self::NotAReview
            | Self::Path
            | Self::Method
            | Self::ContentType
            | Self::TooLarge
            | Self::TooSlow
            | Self::Broken => Decision::Refused,
        }
    }
}

impl Decision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Unchanged => "unchanged",
            Self::Untouched => "untouched",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }
}
