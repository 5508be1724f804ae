{{/*
Refuses a cluster that is too old, with the reason. Helm compares kubeVersion itself when it
installs, but names no reason, and other renderers do not compare it at all.
*/}}
{{- define "keyside.refuseOldClusters" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if not (semverCompare .Chart.KubeVersion $version) -}}
{{- fail (printf "Kubernetes %s is too old, the chart needs %s: an older cluster ignores the webhook's matchConditions, so that failurePolicy Fail would block every pod, and does not run native sidecars" $version .Chart.KubeVersion) -}}
{{- end -}}
{{- end -}}
