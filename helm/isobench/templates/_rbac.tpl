{{/* What the operator may do where Commits run. No Secrets, no pods/log, no exec; pods are read, never made or deleted. */}}
{{- define "isobench.readRules" -}}
- apiGroups: [isobench.dev]
  resources: [commits, datasets]
  verbs: [get, list, watch]
- apiGroups: [isobench.dev]
  resources: [commits/status, datasets/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# Read for what stops a pod from starting (quota, admission, sandbox), written once where a human must act and at the end.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}

{{- define "isobench.writeRules" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, patch]
# ttlSecondsAfterFinished.
- apiGroups: [isobench.dev]
  resources: [commits]
  verbs: [delete]
# Jobs block their owner's deletion; some clusters (OpenShift) ask for this right before they let a Job say so.
- apiGroups: [isobench.dev]
  resources: [commits/finalizers, datasets/finalizers]
  verbs: [update]
{{- end }}
