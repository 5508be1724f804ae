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

{{/* The ServiceAccount of the injector. */}}
{{- define "keyside.account" -}}
{{- $own := ternary (include "keyside.injector" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{/* The ConfigMap of the profiles. */}}
{{- define "keyside.profiles" -}}
{{- printf "%s-profiles" (include "keyside.injector" .) -}}
{{- end -}}

{{/* The Secret in which the injector keeps its certificate. The chart only names it. */}}
{{- define "keyside.certificateSecret" -}}
{{- printf "%s-certificate" (include "keyside.injector" .) -}}
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
