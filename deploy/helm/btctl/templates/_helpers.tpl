{{- define "btctl.name" -}}
{{- printf "%s-%s" .Release.Name .part | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "btctl.labels" -}}
app.kubernetes.io/name: btctl
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "btctl.allLabels" -}}
{{ include "btctl.labels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "btctl.image" -}}
{{ printf "%s/%s:%s" (trimSuffix "/" .Values.image.registry) .part (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end -}}

{{- define "btctl.address" -}}
{{ printf "%s.%s.svc:%d" (include "btctl.name" (merge (dict "part" "coordinator") .)) .Release.Namespace (int .Values.service.port) }}
{{- end -}}

{{- /* What values must have that a schema can't say. */ -}}
{{- define "btctl.check" -}}
{{- $c := .Values.coordinator -}}
{{- if and (hasPrefix "/" $c.store) (not $c.storeClaim) -}}
{{- fail (printf "coordinator.store is the directory %s, which a pod loses; set coordinator.storeClaim to a claim, or store to a bucket" $c.store) -}}
{{- end -}}
{{- if and $c.storeClaim (not (hasPrefix "/" $c.store)) -}}
{{- fail "coordinator.storeClaim is for a store that is a directory, and coordinator.store is none; take one of them out" -}}
{{- end -}}
{{- if .Values.keda.enabled -}}
{{- if or (not .Values.agents.enabled) (ne .Values.agents.kind "Deployment") -}}
{{- fail "keda.enabled needs agents.enabled and agents.kind: Deployment: Kubernetes itself says how many pods a DaemonSet has" -}}
{{- end -}}
{{- if or (not .Values.agents.cpus) (not .Values.agents.memory) -}}
{{- fail "keda.enabled needs agents.cpus and agents.memory: the coordinator says how many agents of that size the queue wants" -}}
{{- end -}}
{{- if lt (int .Values.keda.max) (int .Values.keda.min) -}}
{{- fail "keda.max is less than keda.min" -}}
{{- end -}}
{{- end -}}
{{- end -}}
