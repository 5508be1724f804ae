//! What the injector makes by itself belongs to something that is installed or runs, and the cluster's garbage collector
//! deletes it with that. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::core::Status;

/// Names the owner, in place of another of its kind; whether that changes anything.
pub(crate) fn name(metadata: &mut ObjectMeta, owner: OwnerReference) -> bool {
    let owners = metadata.owner_references.get_or_insert_default();
    if owners.contains(&owner) {
        return false;
    }
    owners.retain(|other| other.kind != owner.kind);
    owners.push(owner);
    true
}

/// Whether it may be the owner that the API server does not want: where `OwnerReferencesPermissionEnforcement` is on,
/// naming one takes the right to delete.
pub(crate) fn is_refused(status: &Status) -> bool {
    status.code == 403
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(kind: &str, uid: &str) -> OwnerReference {
        OwnerReference {
            kind: kind.to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        }
    }

    #[test]
    fn one_owner_of_a_kind_is_named_and_others_stay() {
        let mut metadata = ObjectMeta::default();
        assert!(name(&mut metadata, owner("Pod", "a")));
        assert!(!name(&mut metadata, owner("Pod", "a")));
        assert!(name(&mut metadata, owner("Other", "b")));
        assert!(name(&mut metadata, owner("Pod", "c")));
        let uids: Vec<_> = metadata.owner_references.unwrap_or_default();
        let uids: Vec<_> = uids.iter().map(|owner| owner.uid.as_str()).collect();
        assert_eq!(uids, ["b", "c"]);
    }
}
