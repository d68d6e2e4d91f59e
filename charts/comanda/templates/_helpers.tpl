{{/*
Index
  comanda.labels                labels of every object                         (dict "root" $ "component" "router")
  comanda.selector              labels that name a component's pods            (the same)
  comanda.image                 an image's reference                           (dict "root" $ "image" .Values.router.image)
  comanda.knows                 "true" when the cluster has an API version     (dict "root" $ "version" "comanda.dev/v1alpha1")
  comanda.adopted               metadata by which a later upgrade takes over what a hook has made
  comanda.podMetadata           labels and annotations of a pod                (dict "root" $ "component" … "pods" .Values.router "checksum" …)
  comanda.podSpec               what all pods have: security, pull secrets, scheduling
  comanda.containerSecurity     what all containers have
  comanda.resources             requests and limits, without what is empty
  comanda.settings              settings → environment variables               (dict "prefix" "COMANDA_ROUTER_" "settings" …)
  comanda.number                a number as it was written: no exponent, no needless fraction
  comanda.kept                  a value of a Secret that is there, or a new one (dict "root" $ "secret" … "key" … "new" …)
  comanda.masterKeySecret, comanda.graphUrl, comanda.databaseSecret, comanda.ownerSecret, comanda.serviceRole
                                what several templates must spell the same way
  comanda.databaseHost          where the database is, with mode cnpg or bundled
  comanda.peers                 namespaces → peers of a NetworkPolicy
  comanda.dns                   the egress rule of a name service
*/}}

{{- define "comanda.labels" -}}
{{ include "comanda.selector" . }}
app.kubernetes.io/part-of: comanda
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "comanda.selector" -}}
app.kubernetes.io/name: comanda
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "comanda.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- $name := .image.repository -}}
{{- if $registry }}{{ $name = printf "%s/%s" $registry $name }}{{ end -}}
{{- if .image.digest -}}
{{ printf "%s@%s" $name .image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{- define "comanda.knows" -}}
{{- if or (.root.Capabilities.APIVersions.Has .version) (has .version .root.Values.apiVersions) }}true{{ end -}}
{{- end }}

{{- define "comanda.adopted" -}}
meta.helm.sh/release-name: {{ .Release.Name | quote }}
meta.helm.sh/release-namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{- define "comanda.podMetadata" -}}
{{- /* Without the chart's version: a new chart with the same pods starts none of them again. */ -}}
{{- $ours := merge (include "comanda.selector" . | fromYaml) (dict "app.kubernetes.io/part-of" "comanda") -}}
labels:
  {{- merge $ours .pods.podLabels | toYaml | nindent 2 }}
{{- $notes := dict -}}
{{- if .checksum }}{{ $notes = dict "checksum/config" (sha256sum .checksum) }}{{ end -}}
{{- with merge $notes .pods.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "comanda.podSpec" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Once is enough: PostgreSQL accepts no folder that its group may write to, and large volumes take long.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pods.tolerations }}
tolerations:
  {{- range . }}
  - operator: {{ .operator | default "Exists" }}
    {{- with .key }}
    key: {{ . | quote }}
    {{- end }}
    {{- if eq (.operator | default "Exists") "Equal" }}
    value: {{ .value | default "" | quote }}
    {{- end }}
    {{- with .effect }}
    effect: {{ . }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with .pods.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "comanda.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "comanda.resources" -}}
{{- $found := dict -}}
{{- range $side := list "requests" "limits" -}}
  {{- $amounts := dict -}}
  {{- range $name, $amount := index $ $side -}}
    {{- if $amount }}{{ $_ := set $amounts $name $amount }}{{ end -}}
  {{- end -}}
  {{- if $amounts }}{{ $_ := set $found $side $amounts }}{{ end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "comanda.settings" -}}
{{- range $name, $value := .settings }}
- name: {{ printf "%s%s" $.prefix (snakecase $name | upper) }}
  value: {{ if kindIs "slice" $value }}{{ toJson $value | quote }}{{ else }}{{ include "comanda.number" $value | quote }}{{ end }}
{{- end }}
{{- end }}

{{- define "comanda.number" -}}
{{- $number := float64 . -}}
{{- if eq $number (floor $number) }}{{ int64 $number }}{{ else }}{{ $number }}{{ end -}}
{{- end }}

{{- define "comanda.kept" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- $value := "" -}}
{{- if $found }}{{ $value = index ($found.data | default dict) .key | default "" | b64dec }}{{ end -}}
{{- $value | default .new -}}
{{- end }}

{{- define "comanda.masterKeySecret" -}}
{{- .Values.masterKey.existingSecret | default "comanda-master-key" -}}
{{- end }}

{{- define "comanda.graphUrl" -}}
{{- if .Values.simulator.enabled -}}
http://comanda-simulator.{{ .Release.Namespace }}.svc:8090
{{- else -}}
{{ .Values.graphUrl }}
{{- end -}}
{{- end }}

{{- define "comanda.databaseSecret" -}}
{{- if eq .Values.database.mode "external" }}{{ .Values.database.external.secretName }}{{ else }}comanda-database{{ end -}}
{{- end }}

{{- define "comanda.ownerSecret" -}}
{{- if eq .Values.database.mode "external" }}{{ .Values.database.external.ownerSecretName }}{{ else }}comanda-database-owner{{ end -}}
{{- end }}

{{- define "comanda.serviceRole" -}}
{{- if eq .Values.database.mode "external" }}{{ .Values.database.external.serviceRole }}{{ else }}comanda_service{{ end -}}
{{- end }}

{{- define "comanda.databaseHost" -}}
{{- if eq .Values.database.mode "cnpg" }}comanda-database-rw{{ else }}comanda-database{{ end }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "comanda.peers" -}}
{{- range . }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}
{{- end }}
{{- end }}

{{- define "comanda.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
