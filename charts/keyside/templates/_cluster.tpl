{{/*
Refuses a cluster that is too old, with the reason. Helm compares kubeVersion itself when it
installs, but names no reason, and other renderers do not compare it at all.
*/}}
{{- define "keyside.refuseOldClusters" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if not (semverCompare .Chart.KubeVersion $version) -}}
{{- fail (printf "Kubernetes %s is too old, the chart needs %s" $version .Chart.KubeVersion) -}}
{{- end -}}
{{- if and (eq .Values.webhook.failurePolicy "Fail") (eq .Values.webhook.optIn "annotation") (not (include "keyside.matchConditions" .)) -}}
{{- fail (printf "Kubernetes %s does not know matchConditions, so that webhook.failurePolicy Fail would block every pod: set webhook.optIn to label" $version) -}}
{{- end -}}
{{- if and (eq .Values.sidecar "native") (semverCompare "<1.29.0-0" $version) -}}
{{- fail (printf "Kubernetes %s does not run native sidecars: set sidecar to classic" $version) -}}
{{- end -}}
{{- end -}}

{{/* Whether the API server can select by annotations, which it does by default since 1.28: "true" or nothing. */}}
{{- define "keyside.matchConditions" -}}
{{- if semverCompare ">=1.28.0-0" .Capabilities.KubeVersion.Version -}}
true
{{- end -}}
{{- end -}}

{{/* Values that fit the schema each, and not each other. */}}
{{- define "keyside.refuseContradictions" -}}
{{- if and (eq .Values.certificate.mode "given") .Values.certificate.given.publish .Values.certificate.given.caBundle -}}
{{- fail "certificate.given.publish and certificate.given.caBundle: one of them, for both would write the caBundle" -}}
{{- end -}}
{{- if eq (int .Values.port) (int .Values.healthPort) -}}
{{- fail (printf "port and healthPort: both are %d" (int .Values.port)) -}}
{{- end -}}
{{- with .Values.certificate.certManager -}}
{{- if ge (trimSuffix "h" .renewBefore | int) (trimSuffix "h" .duration | int) -}}
{{- fail (printf "certificate.certManager.renewBefore is %s, and certificate.certManager.duration %s" .renewBefore .duration) -}}
{{- end -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas is %d, and autoscaling.maxReplicas %d" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
