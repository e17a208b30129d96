import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Client {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        show(client, HttpRequest.newBuilder(URI.create("https://site.test/ok/a")).build());
        show(client, HttpRequest.newBuilder(URI.create("https://site.test/ok/b")).POST(HttpRequest.BodyPublishers.ofString("x".repeat(100000))).build());
        show(client, HttpRequest.newBuilder(URI.create("https://site.test/no")).build());
    }

    static void show(HttpClient client, HttpRequest request) throws Exception {
        HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.version() + " " + answer.body());
    }
}
