{{/* The operator's configuration, as its settings.py reads it. */}}
{{- define "isobench.config" -}}
{{- $namespaces := include "isobench.workNamespaces" . | fromJsonArray -}}
watch:
  namespaces: {{ eq .Values.scope "cluster" | ternary "null" (toJson $namespaces) }}
workNamespaces: {{ toJson $namespaces }}
nonceKeyFile: /etc/isobench/nonce/key
images:
  runner: {{ include "isobench.image" (dict "root" . "image" .Values.image.runner) }}
  pullPolicy: {{ .Values.image.pullPolicy }}
  pullSecrets: {{ toJson .Values.image.pullSecrets }}
environment:
  defaultImage: {{ include "isobench.image" (dict "root" . "image" .Values.environment.defaultImage) }}
artifacts:
  {{- if .Values.artifacts.url }}
  url: {{ .Values.artifacts.url }}
  claim: null
  {{- else }}
  url: null
  claim: {{ include "isobench.claim" . }}
  {{- end }}
  accessMode: {{ .Values.artifacts.accessMode }}
  credentialsSecret: {{ .Values.artifacts.credentialsSecret | default "null" }}
resources:
  {{- toYaml .Values.jobs.resources | nindent 2 }}
gpus: {{ .Values.jobs.gpus }}
trustedEnv:
  {{- include "isobench.trustedEnv" . | nindent 2 }}
{{- with include "isobench.caConfigMap" . }}
caBundle:
  configMap: {{ . }}
  key: {{ $.Values.caBundle.key }}
{{- end }}
builds:
  affinity: {{ .Values.jobs.buildAffinity }}
hostUsers: {{ toJson .Values.jobs.hostUsers }}
priorityClassName: {{ include "isobench.jobsPriorityClass" . | default "null" }}
serviceAccounts:
  run: isobench-run
  collect: isobench-collect
jobs:
  backoffLimit: {{ .Values.jobs.backoffLimit }}
  ttlSeconds: {{ toJson .Values.jobs.ttlSeconds }}
  waitingSeconds: {{ .Values.jobs.waitingSeconds | int }}
logging:
  level: {{ .Values.operator.logLevel }}
  format: {{ .Values.operator.logFormat }}
metrics:
  port: {{ .Values.metrics.port }}
health:
  port: 8080
{{- end }}
