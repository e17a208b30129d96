// A server of Go's net/http that answers each request with what it read of it.
package main

import (
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.SetOutput(io.Discard)
	// OPTIONS * is answered by the server itself otherwise.
	server := &http.Server{DisableGeneralOptionsHandler: true}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			// A body that is cut short was not read.
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Read", base64.StdEncoding.EncodeToString(append([]byte(r.Method+"\n"), body...)))
	})
	log.Fatal(server.Serve(listener))
}
