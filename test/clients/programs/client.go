package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	show(http.Get("https://site.test/ok/a"))
	show(http.Post("https://site.test/ok/b", "text/plain", strings.NewReader(strings.Repeat("x", 100000))))
	show(http.Get("https://site.test/no"))
}

func show(answer *http.Response, err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, answer.Proto, string(body))
}
