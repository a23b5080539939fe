{{- define "barista.claimSpec" -}}
accessModes:
  {{- toYaml .Values.state.persistence.accessModes | nindent 2 }}
{{- with .Values.state.persistence.storageClassName }}
storageClassName: {{ ternary "" . (eq . "-") | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.state.persistence.size }}
{{- end }}
