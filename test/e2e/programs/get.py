"""GETs each URL and prints its status, or the name of what went wrong."""
import sys
import requests

for url in sys.argv[1:]:
    try:
        print(requests.get(url, timeout=10).status_code)
    except requests.exceptions.RequestException as error:
        print(type(error).__name__)
