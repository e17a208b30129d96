{{/* The policies, and whom they are about: what each who judges watches. */}}
{{- define "sallyport.watchRules" -}}
- apiGroups: [sallyport.dev]
  resources: [egresspolicies, clusteregresspolicies, upstreamproxies]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods, namespaces]
  verbs: [list, watch]
{{- end }}

{{/* Where Services lead: who wraps what is said to one has to know whom it is for. */}}
{{- define "sallyport.servicesRules" -}}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}

{{/* kind: ClusterRole or Role, with its binding. `suffix` where a role has several. */}}
{{- define "sallyport.role" -}}
{{- $root := .root }}
{{- $name := printf "sallyport-%s%s" .role (.suffix | default "") }}
{{- $namespace := .namespace | default $root.Release.Namespace }}
{{- $of := dict "root" $root "role" .role "values" (index $root.Values .role) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ $name }}
  {{- if eq .kind "Role" }}
  namespace: {{ $namespace }}
  {{- end }}
  labels: {{- include "sallyport.labels" $of | nindent 4 }}
rules: {{- .rules | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ $name }}
  {{- if eq .kind "Role" }}
  namespace: {{ $namespace }}
  {{- end }}
  labels: {{- include "sallyport.labels" $of | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .kind }}, name: {{ $name }}}
subjects:
- {kind: ServiceAccount, name: {{ include "sallyport.serviceAccount" $of }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
