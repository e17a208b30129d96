{{/*
What the UpstreamProxies of the values refer to, and no other Secret of any namespace: by name, one Role for each object.
Proxies that are applied by hand need a Role of their own, of this form (README.md).
*/}}
{{- define "sallyport.upstreamRoles" -}}
{{- $root := .root }}
{{- $refs := dict }}
{{- range $name, $spec := $root.Values.upstreamProxies }}
{{- range $found := list
  (dict "kind" "secrets" "ref" (dig "auth" "secretRef" dict $spec))
  (dict "kind" "secrets" "ref" (dig "caBundle" "secretRef" dict $spec))
  (dict "kind" "configmaps" "ref" (dig "caBundle" "configMapRef" dict $spec)) }}
{{- with $found.ref }}
{{- $_ := set $refs (printf "%s/%s/%s" $found.kind (.namespace | default $root.Release.Namespace) .name) true }}
{{- end }}
{{- end }}
{{- end }}
{{- range $key := keys $refs | sortAlpha }}
{{- $part := splitList "/" $key }}
{{- $rules := printf "- apiGroups: [\"\"]\n  resources: [%s]\n  resourceNames: [%s]\n  verbs: [get, list, watch]" (index $part 0) (index $part 2) }}
{{ include "sallyport.role" (dict "root" $root "role" $.role "kind" "Role" "namespace" (index $part 1) "suffix" (printf "-%s-%s" (index $part 0) (index $part 2)) "rules" $rules) }}
{{- end }}
{{- end }}
