// The command that is built, so that `go mod tidy` knows what it needs.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
