{{/*
Refuses a cluster that is too old, with the reason. Helm compares kubeVersion itself when it
installs, but names no reason, and other renderers do not compare it at all.
*/}}
{{- define "keyside.refuseOldClusters" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if not (semverCompare .Chart.KubeVersion $version) -}}
{{- fail (printf "Kubernetes %s is too old, the chart needs %s: an older cluster ignores the webhook's matchConditions, so that failurePolicy Fail would block every pod" $version .Chart.KubeVersion) -}}
{{- end -}}
{{- if and (eq .Values.sidecar "native") (semverCompare "<1.29.0-0" $version) -}}
{{- fail (printf "Kubernetes %s does not run native sidecars: set sidecar to classic" $version) -}}
{{- end -}}
{{- end -}}
