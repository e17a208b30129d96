{{/*
The webhooks of one configuration. A selector sees labels only, and its parts are joined by "and", so that "labelled so, or
labelled so, or in such a namespace" takes three webhooks (docs/INJECTOR.md). Those that ask by their namespace are labelled
with their mode by us, and so meet the last one too: it is the one that is asked again where another webhook changes them, since
the API server asks nobody again whose selector does not match any more.
*/}}
{{- define "sallyport.webhooks" -}}
{{- $root := .root }}
{{- $webhook := $root.Values.injector.webhook }}
{{- $excluded := concat (list "kube-system" "kube-node-lease" $root.Release.Namespace) $webhook.excludedNamespaces | uniq }}
{{- $inject := "sallyport.dev/inject" }}
{{- $mode := "sallyport.dev/mode" }}
{{- $asks := list
  (dict "name" "inject" "namespace" list "object" (list (dict "key" $inject "operator" "Exists")))
  (dict "name" "namespace"
    "namespace" (list (dict "key" "sallyport.dev/injection" "operator" "In" "values" (list "enabled")))
    "object" (list (dict "key" $inject "operator" "DoesNotExist") (dict "key" $mode "operator" "DoesNotExist")))
  (dict "name" "mode" "namespace" list "object" (list (dict "key" $inject "operator" "DoesNotExist") (dict "key" $mode "operator" "Exists"))) }}
{{- range $asks }}
- name: {{ .name }}.{{ $.path }}.sallyport.dev
  admissionReviewVersions: [v1]
  clientConfig:
    service: {name: sallyport-injector, namespace: {{ $root.Release.Namespace }}, path: /{{ $.path }}, port: 443}
    {{- with $webhook.caBundle }}
    caBundle: {{ . }}
    {{- end }}
  failurePolicy: {{ $webhook.failurePolicy }}
  matchPolicy: Equivalent
  {{- if eq $.path "mutate" }}
  # Another webhook may add containers after us: Istio's does.
  reinvocationPolicy: IfNeeded
  {{- end }}
  sideEffects: None
  timeoutSeconds: {{ $webhook.timeoutSeconds }}
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: {{ toJson $excluded }}}
    {{- range .namespace }}
    - {{ toJson . }}
    {{- end }}
  objectSelector:
    matchExpressions:
    {{- range .object }}
    - {{ toJson . }}
    {{- end }}
  matchConditions:
  # A static pod's copy: the kubelet runs what its file says, whatever anybody answers. Nodes make no other pods.
  - name: no-mirror-pod
    expression: "request.operation != 'CREATE' || !('system:nodes' in request.userInfo.groups)"
  {{- if eq $.path "validate" }}
  # Of a pod that runs its labels could take it out of its guard, and so could another image for what of ours is in it;
  # nothing else that changes waits for us.
  - name: guard-of-a-running-pod
    expression: >-
      request.operation != 'UPDATE' || has(request.subResource)
      || object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({})
      || object.spec.?initContainers.orValue([]).map(c, c.image) != oldObject.spec.?initContainers.orValue([]).map(c, c.image)
  {{- end }}
  rules:
  - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: Namespaced}
  - {operations: [UPDATE], apiGroups: [""], apiVersions: [v1], resources: [pods/ephemeralcontainers], scope: Namespaced}
  {{- if eq $.path "validate" }}
  - {operations: [UPDATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: Namespaced}
  {{- end }}
{{- end }}
{{- end }}
