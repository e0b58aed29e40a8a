{{/* Public addresses, without private, link-local and documentation ranges and without `networkPolicy.clusterRanges`; peers as YAML. */}}
{{- define "isobench.public" -}}
{{- $four := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.0.0.0/24" "192.168.0.0/16" "198.18.0.0/15" "224.0.0.0/4" "240.0.0.0/4" -}}
{{- $six := list "::/127" "64:ff9b::/96" "fc00::/7" "fe80::/10" "ff00::/8" -}}
{{- range .Values.networkPolicy.clusterRanges -}}
{{- if contains ":" . -}}{{- $six = append $six . -}}{{- else -}}{{- $four = append $four . -}}{{- end -}}
{{- end -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except: {{ toJson $four }}
- ipBlock:
    cidr: ::/0
    except: {{ toJson $six }}
{{- end }}

{{/* The egress rules to one destination: (dict "root" $ "name" "git"). */}}
{{- define "isobench.egress" -}}
{{- $given := index .root.Values.networkPolicy .name -}}
{{- if not (kindIs "invalid" $given) -}}
{{- if $given }}{{ toYaml $given }}{{ end -}}
{{- else if eq .name "dns" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- else if eq .name "apiServer" -}}
- ports: [{port: 443, protocol: TCP}, {port: 6443, protocol: TCP}]
{{- else -}}
- to:
    {{- include "isobench.public" .root | nindent 4 }}
  ports: [{port: 443, protocol: TCP}{{ if eq .name "git" }}, {port: 22, protocol: TCP}{{ end }}]
{{- end -}}
{{- end }}
