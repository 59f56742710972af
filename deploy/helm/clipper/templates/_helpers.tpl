{{/* Parts that templates share. Arguments are lists that begin with the root context. */}}

{{/* Whether the chart runs the store: "true" or nothing. */}}
{{- define "clipper.ownStore" -}}
{{- if and .Values.store.enabled (not .Values.store.externalUrl) }}true{{ end -}}
{{- end -}}

{{/* Name of the Secret with the store's address, its password and the token. */}}
{{- define "clipper.secretName" -}}
{{- .Values.existingSecret | default (printf "clipper-secrets-at-%s" .Values.clusterName) -}}
{{- end -}}

{{/* How many query frontends there may be at most. */}}
{{- define "clipper.frontendCount" -}}
{{- if .Values.queryFrontend.autoscaling.enabled -}}
{{- max .Values.queryFrontend.replicas .Values.queryFrontend.autoscaling.maxReplicas -}}
{{- else -}}
{{- int .Values.queryFrontend.replicas -}}
{{- end -}}
{{- end -}}

{{/* root, whole name or "", name of a stock image */}}
{{- define "clipper.image" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}{{ . }}{{- else -}}
{{- $root.Values.images.registry }}/{{ index . 2 }}:{{ $root.Values.images.tag | default $root.Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{- define "clipper.queryImage" -}}
{{- include "clipper.image" (list . .Values.images.queryFrontend "query_frontend") -}}
{{- end -}}

{{- define "clipper.managementImage" -}}
{{- include "clipper.image" (list . .Values.images.managementFrontend "management_frontend") -}}
{{- end -}}

{{/* root, role: the labels that select the pods of a role */}}
{{- define "clipper.selector" -}}
ai.clipper.container.label: {{ (index . 0).Values.clusterName | quote }}
ai.clipper.name: {{ index . 1 }}
{{- end -}}

{{/* root, role or "": labels of an object or a pod. Without the chart's version, so that pods of an
unchanged Clipper outlive a new chart. */}}
{{- define "clipper.labels" -}}
{{- $root := index . 0 -}}
ai.clipper.container.label: {{ $root.Values.clusterName | quote }}
app.kubernetes.io/name: clipper
app.kubernetes.io/instance: {{ $root.Values.clusterName | quote }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with index . 1 }}
ai.clipper.name: {{ . }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* root, name, role or "": an object's metadata */}}
{{- define "clipper.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
  {{- include "clipper.labels" (list $root (index . 2)) | nindent 2 }}
{{- end -}}

{{/* root, role, further annotations: a pod's metadata */}}
{{- define "clipper.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "clipper.labels" (list $root (index . 1)) | nindent 2 }}
{{- with merge (dict) (index . 2) $root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* root, role: what the specifications of all pods share */}}
{{- define "clipper.podSpec" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "clipper.selector" (list $root $role) | nindent 8 }}
  {{- end }}
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What all containers share */}}
{{- define "clipper.container" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  {{- include "clipper.hardened" . | nindent 2 }}
{{- end -}}

{{- define "clipper.hardened" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Of everything but query frontends and models */}}
{{- define "clipper.serviceResources" -}}
requests:
  cpu: 50m
  memory: 128Mi
limits:
  memory: 1Gi
{{- end -}}

{{/* port name: ready soon, unready only after seconds */}}
{{- define "clipper.frontendProbes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}, scheme: HTTP}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 120
  successThreshold: 1
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}, scheme: HTTP}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 3
  successThreshold: 1
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}, scheme: HTTP}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 4
  successThreshold: 1
{{- end -}}

{{/* A frontend that shall end serves on until no node sends it anything new. */}}
{{- define "clipper.lameDuck" -}}
lifecycle:
  preStop:
    exec:
      command: [sleep, "5"]
{{- end -}}

{{/* environment variable, Secret, key */}}
{{- define "clipper.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{/* root, name, role, port, target, type, whether pods that are not ready are reached, selector's
further labels: a Service */}}
{{- define "clipper.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "clipper.metadata" (list (index . 0) (index . 1) (index . 2)) | nindent 2 }}
spec:
  type: {{ index . 5 }}
  selector:
    {{- include "clipper.selector" (list (index . 0) (index . 2)) | nindent 4 }}
    {{- with index . 7 }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: {{ index . 4 }}
      port: {{ int (index . 3) }}
      targetPort: {{ index . 4 }}
      protocol: TCP
  {{- if index . 6 }}
  publishNotReadyAddresses: true
  {{- end }}
{{- end -}}
