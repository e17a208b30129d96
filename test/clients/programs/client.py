import requests

session = requests.Session()
for answer in (
    session.get("https://site.test/ok/a", timeout=20),
    session.post("https://site.test/ok/b", data="x" * 100000, timeout=20),
    session.get("https://site.test/no", timeout=20),
):
    print(answer.status_code, answer.text)
