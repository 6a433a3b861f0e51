{{- define "memtrace.name" -}}
{{- $name := .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- if contains .Chart.Name $name }}{{ $name }}{{ else }}{{ printf "%s-%s" $name .Chart.Name }}{{ end }}
{{- end }}

{{- define "memtrace.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "memtrace.labels" -}}
{{ include "memtrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "memtrace.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "memtrace.config" -}}
{{ tpl .Values.config . }}
{{- end }}

{{/* What is needed everywhere, what these kernels need, what is asked for. */}}
{{- define "memtrace.capabilities" -}}
- BPF
- DAC_READ_SEARCH
- PERFMON
- SYS_PTRACE
{{- if or (ge (int .Values.kernel.perfEventParanoid) 3) .Values.optionalCapabilities.sysAdmin }}
- SYS_ADMIN
{{- end }}
{{- if or .Values.kernel.before_5_11 .Values.optionalCapabilities.sysResource }}
- SYS_RESOURCE
{{- end }}
{{- if .Values.optionalCapabilities.checkpointRestore }}
- CHECKPOINT_RESTORE
{{- end }}
{{- end }}
