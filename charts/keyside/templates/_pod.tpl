{{/* What Pod Security `restricted` asks for, and a little more. OpenShift picks the user. */}}
{{- define "keyside.podSecurity" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "keyside.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The profiles as they are installed: on OpenShift agents name no user either. */}}
{{- define "keyside.profileSet" -}}
{{- $profiles := deepCopy .Values.profiles -}}
{{- if .Values.openshift -}}
{{- $profiles = merge $profiles (dict "default" dict) -}}
{{- range $name, $profile := $profiles -}}
{{- $_ := set $profiles $name (merge (dict) $profile (dict "openshift" (hasKey $profile "openshift" | ternary $profile.openshift true))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $profiles -}}
{{- end -}}
