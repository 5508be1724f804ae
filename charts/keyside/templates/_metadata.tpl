{{/*
Labels of the parts: injector, watch (which the webhook's Service must not select), metrics, test.
All of these take a list: the root, the part.
*/}}

{{/* These select the pods and can never change within a release. */}}
{{- define "keyside.selectorLabels" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
app.kubernetes.io/name: {{ eq $part "injector" | ternary "keyside-injector" (printf "keyside-injector-%s" $part) }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
{{- end -}}

{{- define "keyside.ownLabels" -}}
{{- $root := index . 0 -}}
{{ include "keyside.selectorLabels" . }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: keyside
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Ours come first: nobody's labels may change what selects. */}}
{{- define "keyside.labels" -}}
{{- merge (fromYaml (include "keyside.ownLabels" .)) (index . 0).Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "keyside.podLabels" -}}
{{- $values := (index . 0).Values -}}
{{- merge (fromYaml (include "keyside.ownLabels" .)) $values.podLabels $values.commonLabels | toYaml -}}
{{- end -}}

{{/*
The metadata of an object. Takes a dict: root, part, name; namespace, where it is not the release's ("" for none);
labels and annotations of this object alone.
*/}}
{{- define "keyside.metadata" -}}
{{- $root := .root -}}
name: {{ .name }}
{{- $namespace := hasKey . "namespace" | ternary .namespace $root.Release.Namespace }}
{{- with $namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- $own := fromYaml (include "keyside.labels" (list $root .part)) }}
  {{- merge $own (default dict .labels) | toYaml | nindent 2 }}
{{- with merge (deepCopy (default dict .annotations)) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
