//go:build tools

// Package opa pins the OPA-Envoy that the bench compares with: go.mod is the one place of its version, go.sum its hashes.
package opa

import _ "github.com/open-policy-agent/opa-envoy-plugin/cmd/opa-envoy-plugin"
