{{/* Values that are each right, and wrong together. Messages start with the value's name, as those of the schema do. */}}
{{- define "barista.validate" -}}
{{- $v := .Values }}
{{- $none := list "0" "0%" }}
{{- if and (has (toString $v.workload.maxSurge) $none) (has (toString $v.workload.maxUnavailable) $none) }}
{{- fail "workload.maxSurge: 0, and workload.maxUnavailable is 0 too; no upgrade could begin" }}
{{- end }}
{{- if and (eq $v.model.kind "init") (not (and $v.model.init.image $v.model.init.command)) }}
{{- fail "model.init.image and model.init.command: required for model.kind init" }}
{{- end }}
{{- if and (eq $v.model.kind "image") (not $v.model.image.reference) }}
{{- fail "model.image.reference: required for model.kind image" }}
{{- end }}
{{- if and (eq $v.tls.kind "existing") (not $v.tls.existingSecret) }}
{{- fail "tls.existingSecret: required for tls.kind existing" }}
{{- end }}
{{- if and $v.tls.existingSecret (ne $v.tls.kind "existing") }}
{{- fail "tls.existingSecret: given, but tls.kind is not existing" }}
{{- end }}
{{- if and (eq $v.tls.kind "certManager") (not $v.tls.certManager.issuerRef.name) }}
{{- fail "tls.certManager.issuerRef.name: required for tls.kind certManager" }}
{{- end }}
{{- if and $v.tls.mutual.enabled (eq $v.tls.kind "existing") (not $v.tls.mutual.clientSecret) }}
{{- fail "tls.mutual.clientSecret: required for tls.mutual with tls.kind existing" }}
{{- end }}
{{- if and $v.access.existingSecret (or $v.access.keys $v.access.tenants) }}
{{- fail "access.existingSecret: excludes access.keys and access.tenants" }}
{{- end }}
{{- if and (eq $v.workload.kind "Deployment") $v.state.persistence.enabled }}
{{- if gt (int $v.workload.replicas) 1 }}
{{- fail "workload.replicas: a Deployment with state.persistence has one server; take workload.kind StatefulSet for more" }}
{{- end }}
{{- if ne $v.autoscaling.kind "none" }}
{{- fail "autoscaling.kind: a Deployment with state.persistence has one server; take workload.kind StatefulSet for more" }}
{{- end }}
{{- end }}
{{- if and $v.state.persistence.existingClaim (ne $v.workload.kind "Deployment") }}
{{- fail "state.persistence.existingClaim: for workload.kind Deployment only; each server of a StatefulSet has its own" }}
{{- end }}
{{- if and $v.drain.peer $v.redis.address }}
{{- fail "drain.peer: not used with redis.address" }}
{{- end }}
{{- if and (eq $v.autoscaling.kind "keda") (not $v.autoscaling.keda.serverAddress) }}
{{- fail "autoscaling.keda.serverAddress: required for autoscaling.kind keda" }}
{{- end }}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas: above autoscaling.maxReplicas" }}
{{- end }}
{{- if and $v.metrics.podMonitor.enabled $v.metrics.serviceMonitor.enabled }}
{{- fail "metrics.podMonitor.enabled: excludes metrics.serviceMonitor.enabled; all would be read twice" }}
{{- end }}
{{- if and (or $v.gateway.grpcRoute.enabled $v.gateway.httpRoute.enabled) (not $v.gateway.parentRefs) }}
{{- fail "gateway.parentRefs: required for a route" }}
{{- end }}
{{- if and $v.gateway.httpRoute.enabled (not $v.envoy.enabled) }}
{{- fail "gateway.httpRoute.enabled: needs envoy.enabled; the servers speak gRPC only" }}
{{- end }}
{{- if and $v.gateway.backendTLS.enabled (not $v.gateway.backendTLS.caConfigMap) (ne $v.tls.kind "generated") }}
{{- fail "gateway.backendTLS.caConfigMap: required unless tls.kind is generated" }}
{{- end }}
{{- if and $v.gateway.backendTLS.enabled (not $v.gateway.backendTLS.caConfigMap) $v.envoy.enabled $v.envoy.tlsSecret }}
{{- fail "gateway.backendTLS.caConfigMap: required with envoy.tlsSecret" }}
{{- end }}
{{- end }}
