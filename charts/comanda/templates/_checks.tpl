{{/*
What the schema cannot say of the values: rules over several of them, and those that have another name now. Each
sentence names the value, the rule and the way out.
*/}}

{{- define "comanda.checks" -}}
{{- include "comanda.removed" . -}}
{{- $v := .Values -}}
{{- if eq $v.database.mode "external" -}}
  {{- if not $v.database.external.secretName -}}
    {{- fail "database.external.secretName: must be set with database.mode external; name the Secret whose key url the pods connect with" -}}
  {{- end -}}
  {{- if and $v.migrate.enabled (not $v.database.external.ownerSecretName) -}}
    {{- fail "database.external.ownerSecretName: must be set with database.mode external; name the Secret with the owner's url, or set migrate.enabled to false" -}}
  {{- end -}}
{{- end -}}
{{- if and $v.simulator.enabled $v.app.appId -}}
  {{- fail "app.appId: must be empty with simulator.enabled; the simulator brings its own app" -}}
{{- end -}}
{{- if and $v.app.appId (not $v.app.existingSecret) -}}
  {{- fail "app.existingSecret: must be set with app.appId; name the Secret with appSecret and verifyToken" -}}
{{- end -}}
{{- if and (eq $v.operator.rbac.scope "namespaces") (not $v.operator.rbac.namespaces) -}}
  {{- fail "operator.rbac.namespaces: must name a namespace with operator.rbac.scope namespaces" -}}
{{- end -}}
{{- if and (eq $v.operator.rbac.scope "cluster") $v.operator.rbac.namespaces -}}
  {{- fail "operator.rbac.namespaces: must be empty with operator.rbac.scope cluster, which means all; set scope to namespaces" -}}
{{- end -}}
{{- range $path, $bounds := dict "router.autoscaling" $v.router.autoscaling "pool.autoscaling" $v.pool.autoscaling -}}
  {{- if gt (int $bounds.minReplicas) (int $bounds.maxReplicas) -}}
    {{- fail (printf "%s.minReplicas: must not be above maxReplicas; lower the one or raise the other" $path) -}}
  {{- end -}}
{{- end -}}
{{- if and (or $v.router.ingress.enabled $v.router.gateway.enabled) (not $v.router.host) -}}
  {{- fail "router.host: must be set with router.ingress or router.gateway; it is the name that Meta posts to" -}}
{{- end -}}
{{- if and $v.router.gateway.enabled (not $v.router.gateway.parentRefs) (not $v.router.gateway.className) -}}
  {{- fail "router.gateway.className: must be set when router.gateway.parentRefs names no Gateway" -}}
{{- end -}}
{{- $databasePorts := list -}}
{{- range $v.networkPolicy.databasePorts }}{{ $databasePorts = append $databasePorts (int .) }}{{ end -}}
{{- if and (ne $v.database.mode "external") (not (has 5432 $databasePorts)) -}}
  {{- fail "networkPolicy.databasePorts: must have 5432, the port of the database that the chart makes" -}}
{{- end -}}
{{- range $path, $pods := dict "operator" $v.operator "router" $v.router "migrate" $v.migrate "simulator" $v.simulator "database.bundled" $v.database.bundled -}}
  {{- range $index, $each := $pods.tolerations -}}
    {{- if and (eq ($each.operator | default "Exists") "Equal") (not $each.key) -}}
      {{- fail (printf "%s.tolerations[%d].key: must be set with operator Equal; Exists takes every key" $path $index) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- define "comanda.removed" -}}
{{- range $was, $now := .Files.Get "files/removed.yaml" | fromYaml -}}
  {{- $place := $.Values -}}
  {{- range splitList "." $was -}}
    {{- $place = ternary (get (ternary $place dict (kindIs "map" $place)) .) "" (kindIs "map" $place) -}}
  {{- end -}}
  {{- if not (eq (toString $place) "") -}}
    {{- fail (printf "%s: was removed; set %s instead" $was $now) -}}
  {{- end -}}
{{- end -}}
{{- end }}
