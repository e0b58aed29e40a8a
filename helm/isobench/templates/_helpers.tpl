{{/* The namespaces in which Commits run, as a JSON list. */}}
{{- define "isobench.workNamespaces" -}}
{{- default (list .Release.Namespace) .Values.workNamespaces | uniq | toJson -}}
{{- end }}

{{/* The name of a cluster-wide object: two releases must not share one. */}}
{{- define "isobench.clusterName" -}}
isobench-{{ .Release.Namespace }}
{{- end }}

{{/* An image reference: (dict "root" $ "image" .Values.image.operator). A digest counts instead of the tag. */}}
{{- define "isobench.image" -}}
{{- $registry := default .image.registry .root.Values.image.registry -}}
{{- $name := .image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" $registry) .image.repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end }}

{{- define "isobench.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end }}

{{/* Labels of every object: (dict "root" $ "component" "operator"). */}}
{{- define "isobench.labels" -}}
app.kubernetes.io/name: isobench
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: isobench
helm.sh/chart: {{ include "isobench.chart" .root }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "isobench.operatorSelector" -}}
app.kubernetes.io/name: isobench
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "isobench.operatorPriorityClass" -}}
{{- .Values.operator.priorityClassName | default (.Values.priorityClasses.create | ternary "isobench-operator" "") -}}
{{- end }}

{{- define "isobench.jobsPriorityClass" -}}
{{- .Values.jobs.priorityClassName | default (.Values.priorityClasses.create | ternary "isobench-jobs" "") -}}
{{- end }}

{{- define "isobench.claim" -}}
{{- .Values.artifacts.existingClaim | default "isobench-store" -}}
{{- end }}

{{- define "isobench.caConfigMap" -}}
{{- .Values.caBundle.configMap | default (empty .Values.caBundle.pem | ternary "" "isobench-ca") -}}
{{- end }}

{{- define "isobench.nonceSecret" -}}
{{- .Values.nonce.existingSecret | default "isobench-nonce" -}}
{{- end }}

{{/* Pull secrets of the chart's own pods. */}}
{{- define "isobench.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What Pod Security `restricted` asks of a container of ours, and a read-only root besides. */}}
{{- define "isobench.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "isobench.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10003
runAsGroup: 10003
fsGroup: 10003
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Index and proxies of trusted containers and builds, under what `jobs.trustedEnv` says; as a YAML map. */}}
{{- define "isobench.trustedEnv" -}}
{{- $env := dict -}}
{{- with .Values.packageIndex.url }}{{- $_ := set $env "PIP_INDEX_URL" . }}{{- $_ := set $env "UV_DEFAULT_INDEX" . }}{{- end -}}
{{- with .Values.packageIndex.extraUrls }}{{- $_ := set $env "PIP_EXTRA_INDEX_URL" (join " " .) }}{{- $_ := set $env "UV_INDEX" (join " " .) }}{{- end -}}
{{- with .Values.proxy.http }}{{- $_ := set $env "HTTP_PROXY" . }}{{- $_ := set $env "http_proxy" . }}{{- end -}}
{{- with .Values.proxy.https }}{{- $_ := set $env "HTTPS_PROXY" . }}{{- $_ := set $env "https_proxy" . }}{{- end -}}
{{- with .Values.proxy.noProxy }}{{- $_ := set $env "NO_PROXY" . }}{{- $_ := set $env "no_proxy" . }}{{- end -}}
{{- merge (deepCopy .Values.jobs.trustedEnv) $env | toYaml -}}
{{- end }}
