{{/* A container of the operator's image that runs one script of files/ with its own token: (dict "root" $ "script" "…" "env" (dict)). */}}
{{- define "isobench.scriptPod" -}}
restartPolicy: Never
enableServiceLinks: true
automountServiceAccountToken: true
{{- include "isobench.imagePullSecrets" .root }}
securityContext:
  {{- include "isobench.podSecurity" .root | nindent 2 }}
containers:
  - name: main
    image: {{ include "isobench.image" (dict "root" .root "image" .root.Values.image.operator) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command:
      - python
      - -c
      - |
        {{- .root.Files.Get (printf "files/%s" .script) | nindent 8 }}
    env:
      {{- range $name, $value := .env }}
      - {name: {{ $name }}, value: {{ $value | quote }}}
      {{- end }}
    resources:
      requests: {cpu: 50m, memory: 64Mi}
      limits: {memory: 128Mi, ephemeral-storage: 64Mi}
    securityContext:
      {{- include "isobench.containerSecurity" .root | nindent 6 }}
{{- with .root.Values.operator.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
