{{/* Whether the injector itself keeps the caBundle right: "true" or nothing. */}}
{{- define "keyside.publishes" -}}
{{- $certificate := .Values.certificate -}}
{{- if or (eq $certificate.mode "self") (and (eq $certificate.mode "given") $certificate.given.publish) -}}
true
{{- end -}}
{{- end -}}

{{/* Whether the injector asks the Kubernetes API for anything: "true" or nothing. */}}
{{- define "keyside.asksApi" -}}
{{- if or (include "keyside.publishes" .) .Values.denialEvents -}}
true
{{- end -}}
{{- end -}}

{{/* The Secret that is mounted: nothing where the injector makes its certificate itself. */}}
{{- define "keyside.mountedSecret" -}}
{{- if eq .Values.certificate.mode "certManager" -}}
{{- include "keyside.certificateSecret" . -}}
{{- else if eq .Values.certificate.mode "given" -}}
{{- .Values.certificate.given.secret -}}
{{- end -}}
{{- end -}}
