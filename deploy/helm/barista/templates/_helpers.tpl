{{- define "barista.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Room is left for the longest ending, -envoy-metrics. */}}
{{- define "barista.fullname" -}}
{{- $name := include "barista.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "barista.selector" -}}
app.kubernetes.io/name: {{ include "barista.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" …). */}}
{{- define "barista.labels" -}}
{{ include "barista.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name, labels and annotations of an object: (dict "root" $ "name" … "component" … "annotations" …). */}}
{{- define "barista.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "barista.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (dict "image" a map with repository, tag, digest "tag" what an empty tag means). */}}
{{- define "barista.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .tag }}
{{- end }}
{{- end }}

{{- define "barista.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "barista.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Every container and every pod of the chart has these: the "restricted" standard, and a root that cannot be written. */}}
{{- define "barista.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "barista.containerSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What all pods of the chart share: account, images, priority, security. */}}
{{- define "barista.podBase" -}}
serviceAccountName: {{ include "barista.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "barista.podSecurity" . | nindent 2 }}
{{- end }}

{{/* One pod a node where that is possible: (dict "root" $ "component" …). */}}
{{- define "barista.spread" -}}
{{- if .root.Values.spread -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "barista.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{/* Secrets: given, or the chart's own. */}}
{{- define "barista.tlsSecret" -}}
{{- if eq .Values.tls.kind "existing" }}{{ .Values.tls.existingSecret }}{{ else }}{{ include "barista.fullname" . }}-tls{{ end }}
{{- end }}
{{- define "barista.clientSecret" -}}
{{- .Values.tls.mutual.clientSecret | default (printf "%s-client-tls" (include "barista.fullname" .)) }}
{{- end }}
{{- define "barista.caSecret" -}}
{{- .Values.tls.mutual.caSecret | default (include "barista.tlsSecret" .) }}
{{- end }}
{{- define "barista.accessSecret" -}}
{{- .Values.access.existingSecret | default (printf "%s-access" (include "barista.fullname" .)) }}
{{- end }}
{{/* Not empty where the chart makes an API key. */}}
{{- define "barista.trialKey" -}}
{{- if not (or .Values.access.existingSecret .Values.access.keys) }}yes{{ end }}
{{- end }}
{{/* Not empty where the chart makes a client's certificate. */}}
{{- define "barista.ownClient" -}}
{{- if and .Values.tls.mutual.enabled (not .Values.tls.mutual.clientSecret) (ne .Values.tls.kind "existing") }}yes{{ end }}
{{- end }}
{{/* The Secret with the key of the test's pod; empty: none. */}}
{{- define "barista.testKeySecret" -}}
{{- if .Values.test.apiKeySecret }}{{ .Values.test.apiKeySecret }}{{ else if include "barista.trialKey" . }}{{ include "barista.accessSecret" . }}{{ end }}
{{- end }}

{{/* The name that the headless Service, and so each server in it, has in DNS and in the certificate. */}}
{{- define "barista.headlessDns" -}}
{{ include "barista.fullname" . }}-headless.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* DNS names of the servers' certificate, as JSON: Services with and without the cluster's domain, each pod, Envoy, the pod's own loopback. */}}
{{- define "barista.dnsNames" -}}
{{- $full := include "barista.fullname" . }}
{{- $ns := .Release.Namespace }}
{{- $names := list $full "localhost" }}
{{- $services := list $full (printf "%s-headless" $full) (printf "*.%s-headless" $full) }}
{{- if .Values.envoy.enabled }}
{{- $services = append $services (printf "%s-envoy" $full) }}
{{- end }}
{{- range $services }}
{{- $names = concat $names (list (printf "%s.%s" . $ns) (printf "%s.%s.svc" . $ns) (printf "%s.%s.svc.%s" . $ns $.Values.clusterDomain)) }}
{{- end }}
{{- concat $names .Values.tls.dnsNames | toJson }}
{{- end }}


{{/* Seconds in which a server stores all of its sessions: those in slots, and those in the host's memory. */}}
{{- define "barista.parkSeconds" -}}
{{- $bytes := add (mul (int64 .Values.state.sessionsMax) (int64 .Values.state.bytesPerSession)) (int64 (.Values.config.host_state_bytes | default 0)) }}
{{- $rate := int64 .Values.state.bytesPerSecond }}
{{- div (add $bytes (sub $rate 1)) $rate }}
{{- end }}

{{/* A server that is killed before this has passed loses sessions. */}}
{{- define "barista.graceSeconds" -}}
{{- $drain := ceil .Values.drain.seconds | int64 }}
{{- add (int64 .Values.drain.delaySeconds) $drain (include "barista.parkSeconds" . | int64) (int64 .Values.drain.marginSeconds) }}
{{- end }}

{{/* Not empty where idle sessions leave their slots for others: then slots fill up and stay full, and tell nothing of load. */}}
{{- define "barista.idleLeaves" -}}
{{- if or .Values.redis.address .Values.state.persistence.enabled .Values.config.host_state_bytes }}yes{{ end }}
{{- end }}

{{/* The server's config file. Values that the chart computes are refused under config by the schema. */}}
{{- define "barista.serverConfig" -}}
{{- $config := dict
    "model" (printf "/model/%s" .Values.model.path | trimSuffix "/")
    "listen" "0.0.0.0:8470"
    "metrics_listen" "0.0.0.0:8471"
    "health_listen" "0.0.0.0:8472"
    "tls_cert_file" "/etc/barista/tls/tls.crt"
    "tls_key_file" "/etc/barista/tls/tls.key"
    "access_file" "/etc/barista/access/access.json"
    "sessions_max" .Values.state.sessionsMax
    "drain_delay_seconds" .Values.drain.delaySeconds
    "drain_seconds" .Values.drain.seconds }}
{{- if .Values.tls.mutual.enabled }}{{ $_ := set $config "tls_client_ca_file" "/etc/barista/client-ca/ca.crt" }}{{ end }}
{{- if .Values.state.persistence.enabled }}{{ $_ := set $config "state_dir" "/var/lib/barista" }}{{ end }}
{{- if .Values.state.sealKey.existingSecret }}{{ $_ := set $config "seal_key_file" (printf "/etc/barista/seal/%s" .Values.state.sealKey.key) }}{{ end }}
{{- with .Values.redis.address }}{{ $_ := set $config "redis" . }}{{ end }}
{{- with .Values.drain.peer }}{{ $_ := set $config "drain_peer" . }}{{ end }}
{{- if .Values.gpu.enabled }}{{ $_ := set $config "backend" "cuda" }}{{ end }}
{{- merge (deepCopy .Values.config) $config | toPrettyJson }}
{{- end }}
