{{/* Names are fixed: a cluster has one installation, since a node has one set of rules and one set of ports. */}}

{{- define "sallyport.selector" -}}
app.kubernetes.io/name: sallyport
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: sallyport
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The image of a role: `image` of the role over the one of all. A digest is before a tag. */}}
{{- define "sallyport.image" -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (.values.image | default dict) -}}
{{- $path := $image.repository -}}
{{- if $image.registry }}{{ $path = printf "%s/%s" $image.registry $image.repository }}{{ end -}}
{{- if $image.digest }}{{ printf "%s@%s" $path $image.digest }}{{ else }}{{ printf "%s:%s" $path ($image.tag | default .root.Chart.AppVersion) }}{{ end -}}
{{- end }}

{{- define "sallyport.pullPolicy" -}}
{{ (mergeOverwrite (deepCopy .root.Values.image) (.values.image | default dict)).pullPolicy }}
{{- end }}

{{- define "sallyport.serviceAccount" -}}
{{ .values.serviceAccount.name | default (printf "sallyport-%s" .role) }}
{{- end }}

{{/* What the policy's address classes are made of; the same for everyone who judges. */}}
{{- define "sallyport.installationArgs" -}}
{{- with .cluster.domain }}
- --cluster-domain={{ . }}
{{- end }}
{{- range .cluster.serviceCidrs }}
- --service-cidr={{ . }}
{{- end }}
{{- range .cluster.podCidrs }}
- --pod-cidr={{ . }}
{{- end }}
{{- range .cluster.nodeCidrs }}
- --node-cidr={{ . }}
{{- end }}
{{- range .cluster.nat64Prefixes }}
- --nat64-prefix={{ . }}
{{- end }}
- --default-action={{ .defaultAction }}
{{- end }}

{{/* Of a pod that needs nothing of its node: the Pod Security Standard "restricted", and no more than one user. */}}
{{- define "sallyport.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sallyport.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where the pod runs, and what else the values say of it. */}}
{{- define "sallyport.placement" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Two of a role are best on two nodes, in two zones; what the values say replaces it. */}}
{{- define "sallyport.spread" -}}
topologySpreadConstraints:
{{- with .values.topologySpreadConstraints }}
{{- toYaml . | nindent 0 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "sallyport.selector" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sallyport.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{/* The kubelet's probes. Startup is allowed longer than life: a first start may wait for the API server. */}}
{{- define "sallyport.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{- define "sallyport.podLabels" -}}
{{ include "sallyport.labels" . }}
{{- with .values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}
