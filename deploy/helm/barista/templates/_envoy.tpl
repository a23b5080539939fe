{{/* deploy/envoy/envoy.yaml, and what differs where servers are pods: addresses, TLS to them, the size of the heap. */}}
{{- define "barista.envoyConfig" -}}
{{- $config := .Files.Get "files/envoy/envoy.yaml" | fromYaml }}
{{- range $config.overload_manager.resource_monitors }}
{{- if eq .name "envoy.resource_monitors.fixed_heap" }}{{ $_ := set .typed_config "max_heap_size_bytes" (int64 $.Values.envoy.heapBytes) }}{{ end }}
{{- end }}
{{- range $config.static_resources.listeners }}
{{- if eq .name "ops" }}{{ $_ := set .address.socket_address "address" "0.0.0.0" }}{{ end }}
{{- end }}
{{- range $config.static_resources.clusters }}
{{- if eq .name "barista" }}{{ $_ := mergeOverwrite . (tpl ($.Files.Get "files/envoy/servers.yaml") $ | fromYaml) }}{{ end }}
{{- end }}
{{- toYaml $config }}
{{- end }}
