{{/* What the schema cannot say: each rule names the fields and the remedy. */}}
{{- define "isobench.validate" -}}
{{- $problems := list -}}
{{- if and .Values.caBundle.configMap .Values.caBundle.pem -}}
{{- $problems = append $problems (printf "caBundle.configMap (%s) and caBundle.pem are both set: keep the ConfigMap that is there, or let the chart make one from the text" .Values.caBundle.configMap) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- $problems = append $problems "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled are both true: every sample would be scraped and every alert fire twice. Keep one" -}}
{{- end -}}
{{- $namespaces := include "isobench.workNamespaces" . | fromJsonArray -}}
{{- if and .Values.createWorkNamespaces (eq (len (without $namespaces .Release.Namespace)) 0) -}}
{{- $problems = append $problems (printf "createWorkNamespaces is true, but workNamespaces names none beside the release's own (%s), which Helm cannot label. Name the namespaces to create, or label this one: kubectl label namespace %s pod-security.kubernetes.io/enforce=restricted" .Release.Namespace .Release.Namespace) -}}
{{- end -}}
{{- range $name, $_ := .Values.jobs.trustedEnv -}}
{{- if regexMatch "(?i)(key|token|secret|password)$" $name -}}
{{- $problems = append $problems (printf "jobs.trustedEnv.%s looks like a key: every trusted container would carry it. Put it into a Secret and name that where the Commit or Dataset needs it" $name) -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nvalues that do not fit together:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end }}
