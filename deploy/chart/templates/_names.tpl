{{/* What every object is labelled with. */}}
{{- define "refit.labels" -}}
{{ include "refit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/* What the pods are known by; it never changes. */}}
{{- define "refit.selector" -}}
app.kubernetes.io/name: refit
app.kubernetes.io/component: controllers
{{- end }}

{{- define "refit.image" -}}
{{- $repository := required "image.repository is empty: name where you have pushed what \"make image\" packs, such as registry.example/refit" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default (.Chart.AppVersion | replace "+" "_") }}
{{- end -}}
{{- end }}
