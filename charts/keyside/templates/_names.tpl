{{/* The prefix of every object's name. 40 characters leave room for what follows it. */}}
{{- define "keyside.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "keyside.injector" -}}
{{- printf "%s-injector" (include "keyside.fullname" .) -}}
{{- end -}}

{{/* The ConfigMap of the profiles. */}}
{{- define "keyside.profiles" -}}
{{- printf "%s-profiles" (include "keyside.injector" .) -}}
{{- end -}}

{{/* The Secret in which the injector keeps its certificate. The chart only names it. */}}
{{- define "keyside.certificateSecret" -}}
{{- printf "%s-certificate" (include "keyside.injector" .) -}}
{{- end -}}

{{/* These select the pods and can never change within a release. */}}
{{- define "keyside.selectorLabels" -}}
app.kubernetes.io/name: keyside-injector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keyside.labels" -}}
{{ include "keyside.selectorLabels" . }}
app.kubernetes.io/component: injector
app.kubernetes.io/part-of: keyside
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of what looks for pods without the agent: the Service must not select it. */}}
{{- define "keyside.watchSelectorLabels" -}}
app.kubernetes.io/name: keyside-injector-watch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keyside.watchLabels" -}}
{{ include "keyside.watchSelectorLabels" . }}
app.kubernetes.io/component: watch
app.kubernetes.io/part-of: keyside
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Takes a list: the image's values, the default tag. */}}
{{- define "keyside.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}
