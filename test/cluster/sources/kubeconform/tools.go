// The command that is built, so that `go mod tidy` knows what it needs.
package tools

import _ "github.com/yannh/kubeconform/cmd/kubeconform"
