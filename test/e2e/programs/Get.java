import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** GETs each URL and prints its status, or what went wrong. */
public class Get {
    public static void main(String[] urls) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String url : urls) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(10)).build();
            try {
                System.out.println(client.send(request, HttpResponse.BodyHandlers.discarding()).statusCode());
            } catch (java.io.IOException error) {
                System.out.println(error);
            }
        }
    }
}
