'use strict'
// Preload with `NODE_OPTIONS="--require …/graph-redirect.cjs"`: calls to Meta's Graph API go to GRAPH_BASE_URL instead.
// The bot stays unmodified: `https.request`, `https.get` and the global `fetch` are the ways out of a Node process.

const http = require('node:http')
const https = require('node:https')

const GRAPH_HOST = 'graph.facebook.com'
const target = new URL(process.env.GRAPH_BASE_URL)

function isGraph(input, options) {
  const from = { ...(typeof input === 'string' || input instanceof URL ? urlParts(input) : input), ...options }
  return [from.hostname, from.host].some((host) => host && String(host).split(':')[0] === GRAPH_HOST)
}

function urlParts(input) {
  const url = new URL(String(input))
  return { hostname: url.hostname, path: url.pathname + url.search }
}

function redirected(input, options) {
  const from = typeof input === 'string' || input instanceof URL ? { ...urlParts(input), ...options } : { ...input }
  const headers = { ...from.headers }
  for (const name of Object.keys(headers)) if (name.toLowerCase() === 'host') delete headers[name]
  return {
    method: from.method,
    path: from.path,
    headers,
    timeout: from.timeout,
    signal: from.signal,
    protocol: 'http:',
    hostname: target.hostname,
    port: target.port,
  }
}

function catching(original, plain) {
  return function (input, ...rest) {
    const options = typeof rest[0] === 'object' && rest[0] !== null ? rest[0] : {}
    if (!isGraph(input, options)) return original.call(this, input, ...rest)
    const callback = rest.find((each) => typeof each === 'function')
    return plain(redirected(input, options), callback)
  }
}

https.request = catching(https.request, http.request)
https.get = catching(https.get, http.get)

const originalFetch = globalThis.fetch
globalThis.fetch = function (input, init) {
  const url = new URL(typeof input === 'string' || input instanceof URL ? input : input.url)
  if (url.hostname !== GRAPH_HOST) return originalFetch(input, init)
  const moved = new URL(url.pathname + url.search, target)
  return typeof input === 'string' || input instanceof URL
    ? originalFetch(moved, init)
    : originalFetch(new Request(moved, input), init)
}
