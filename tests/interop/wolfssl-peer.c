/* One end with wolfSSL, without a socket: told over standard input what to do, it answers over standard output.
 *
 *   wolfssl-peer client|server 1.2|1.3 ROOTS CHAIN KEY [word=value]...
 *
 * Both ways: an octet that says what, two octets of length, so many octets. Each command is answered by any number of
 * answers, the last of which is DONE. Several associations, one after the other, share what the program has of sessions. */

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/internal.h>
#include <wolfssl/wolfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Commands. */
enum { NEW = 'N', DATAGRAM = 'D', WRITE = 'W', UPDATE_KEYS = 'U', EXPORT = 'X', FACTS = 'Q', CLOSE = 'C', TICK = 'T', CLOCK = 'K',
       TIMEOUT = 'I', EXPIRE = 'E' };
/* Answers. */
enum { SENT = 'd', RECEIVED = 'r', ESTABLISHED = 'e', PEER_CLOSED = 'c', FAILED = 'f', VALUE = 'x', DONE = '.' };

static WOLFSSL_CTX *ctx;
static WOLFSSL *ssl;
static WOLFSSL_SESSION *session;
static int is_server, is_13, established, failed;
static char **words;
static int word_count;

/* The datagram that wolfSSL has not read yet. */
static unsigned char arrived[65536];
static int arrived_len = -1;

/* Microseconds since the program's start, if it was told a time of its own. */
static long long told = -1;
static struct timespec start;

/* The library's clock, which is ours if it links to these and not to the C library's. */
int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec;
    now->tv_usec = real.tv_nsec / 1000;
    if (told >= 0) {
        now->tv_sec = start.tv_sec + told / 1000000;
        now->tv_usec = told % 1000000;
    }
    return 0;
}

time_t time(time_t *out)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

static void answer(int what, const void *octets, size_t len)
{
    unsigned char head[3] = { (unsigned char)what, (unsigned char)(len >> 8), (unsigned char)len };
    fwrite(head, 1, sizeof head, stdout);
    fwrite(octets, 1, len, stdout);
}

static void fail(const char *where, int code)
{
    char text[256], reason[WOLFSSL_MAX_ERROR_SZ];
    wolfSSL_ERR_error_string((unsigned long)(long)code, reason);
    snprintf(text, sizeof text, "%s: %d, %s", where, code, reason);
    failed = 1;
    answer(FAILED, text, strlen(text));
}

/* An answer of the form name=value. */
static void fact(const char *name, const void *octets, size_t len)
{
    unsigned char text[4096];
    size_t name_len = strlen(name);
    if (name_len + 1 + len > sizeof text)
        len = sizeof text - name_len - 1;
    memcpy(text, name, name_len);
    text[name_len] = '=';
    memcpy(text + name_len + 1, octets, len);
    answer(VALUE, text, name_len + 1 + len);
}

/* The value of a word of the command line, or NULL. */
static const char *word(const char *name)
{
    size_t len = strlen(name);
    for (int i = 0; i < word_count; i++)
        if (strncmp(words[i], name, len) == 0 && words[i][len] == '=')
            return words[i] + len + 1;
    return NULL;
}

static int receive(WOLFSSL *s, char *buffer, int size, void *context)
{
    (void)s, (void)context;
    if (arrived_len < 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    int len = arrived_len < size ? arrived_len : size;
    memcpy(buffer, arrived, (size_t)len);
    arrived_len = -1;
    return len;
}

static int transmit(WOLFSSL *s, char *buffer, int size, void *context)
{
    (void)s, (void)context;
    answer(SENT, buffer, (size_t)size);
    return size;
}

/* There is one peer only: any cookie will do. */
static int cookie(WOLFSSL *s, unsigned char *buffer, int size, void *context)
{
    (void)s, (void)context;
    memset(buffer, 0x5a, (size_t)size);
    return size;
}

/* Instead of asking a responder. */
static int ocsp_response(void *context, const char *url, int url_len, unsigned char *request, int request_len,
                         unsigned char **response)
{
    (void)context, (void)url, (void)url_len, (void)request, (void)request_len;
    FILE *file = fopen(word("ocsp"), "rb");
    if (!file)
        return -1;
    *response = malloc(65536);
    int len = (int)fread(*response, 1, 65536, file);
    fclose(file);
    return len;
}

static void ocsp_free(void *context, unsigned char *response)
{
    (void)context;
    free(response);
}

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "wolfssl-peer: %s\n", what);
        exit(1);
    }
}

static void configure(char **argv)
{
    is_server = strcmp(argv[1], "server") == 0;
    is_13 = strcmp(argv[2], "1.3") == 0;
    WOLFSSL_METHOD *method;
    if (is_13)
        method = is_server ? wolfDTLSv1_3_server_method() : wolfDTLSv1_3_client_method();
    else
        method = is_server ? wolfDTLSv1_2_server_method() : wolfDTLSv1_2_client_method();
    ctx = wolfSSL_CTX_new(method);
    must(ctx != NULL, "no context");
    must(wolfSSL_CTX_load_verify_locations(ctx, argv[3], NULL) == WOLFSSL_SUCCESS, "roots");
    must(wolfSSL_CTX_use_certificate_chain_file(ctx, argv[4]) == WOLFSSL_SUCCESS, "chain");
    must(wolfSSL_CTX_use_PrivateKey_file(ctx, argv[5], WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS, "key");
    wolfSSL_CTX_set_verify(ctx, is_server ? WOLFSSL_VERIFY_NONE : WOLFSSL_VERIFY_PEER, NULL);
    wolfSSL_CTX_SetIORecv(ctx, receive);
    wolfSSL_CTX_SetIOSend(ctx, transmit);
    wolfSSL_CTX_SetGenCookie(ctx, cookie);
    if (word("srtp"))
        /* As in OpenSSL, 0 is success. */
        must(wolfSSL_CTX_set_tlsext_use_srtp(ctx, word("srtp")) == 0, "SRTP profiles");
    if (word("ocsp")) {
        must(wolfSSL_CTX_EnableOCSPStapling(ctx) == WOLFSSL_SUCCESS, "stapling");
        if (!is_server)
            must(wolfSSL_CTX_EnableOCSPMustStaple(ctx) == WOLFSSL_SUCCESS, "must staple");
        if (is_server)
            /* It must know the issuer to ask about its certificate. */
            must(wolfSSL_CTX_load_verify_locations(ctx, word("issuer"), NULL) == WOLFSSL_SUCCESS &&
                     wolfSSL_CTX_SetOCSP_OverrideURL(ctx, "http://127.0.0.1:1/") == WOLFSSL_SUCCESS &&
                     wolfSSL_CTX_EnableOCSP(ctx, WOLFSSL_OCSP_NO_NONCE | WOLFSSL_OCSP_URL_OVERRIDE) == WOLFSSL_SUCCESS &&
                     wolfSSL_CTX_SetOCSP_Cb(ctx, ocsp_response, ocsp_free, NULL) == WOLFSSL_SUCCESS,
                 "OCSP");
    }
    if (is_server && is_13)
        wolfSSL_CTX_set_num_tickets(ctx, 2);
    const char *tickets = word("tickets");
    if (is_server && tickets && strcmp(tickets, "no") == 0)
        must((is_13 ? wolfSSL_CTX_no_ticket_TLSv13(ctx) == 0 : wolfSSL_CTX_NoTicketTLSv12(ctx) == WOLFSSL_SUCCESS), "tickets");
}

static void new_association(void)
{
    if (ssl) {
        if (!is_server && established) {
            wolfSSL_SESSION_free(session);
            session = wolfSSL_get1_session(ssl);
        }
        wolfSSL_free(ssl);
    }
    established = failed = 0;
    arrived_len = -1;
    ssl = wolfSSL_new(ctx);
    must(ssl != NULL, "no association");
    wolfSSL_dtls_set_using_nonblock(ssl, 1);
    /* It exports afterwards. */
    wolfSSL_KeepArrays(ssl);
    wolfSSL_dtls_set_mtu(ssl, word("mtu") ? (unsigned short)atoi(word("mtu")) : 1200);
    if (is_server && is_13) {
        const char *cookies = word("cookie");
        must((cookies && strcmp(cookies, "no") == 0 ? wolfSSL_disable_hrr_cookie(ssl) : wolfSSL_send_hrr_cookie(ssl, NULL, 0)) ==
                 WOLFSSL_SUCCESS,
             "cookies");
    }
    if (word("alpn"))
        must(wolfSSL_UseALPN(ssl, (char *)word("alpn"), (unsigned)strlen(word("alpn")), WOLFSSL_ALPN_FAILED_ON_MISMATCH) ==
                 WOLFSSL_SUCCESS,
             "ALPN");
    if (word("sni"))
        must(wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, word("sni"), (unsigned short)strlen(word("sni"))) == WOLFSSL_SUCCESS,
             "SNI");
    if (word("max_fragment"))
        must(wolfSSL_UseMaxFragment(ssl, (unsigned char)atoi(word("max_fragment"))) == WOLFSSL_SUCCESS, "max_fragment_length");
    if (word("ocsp") && !is_server)
        must(wolfSSL_UseOCSPStapling(ssl, WOLFSSL_CSR_OCSP, 0) == WOLFSSL_SUCCESS, "status_request");
    if (!is_server && word("tickets") && strcmp(word("tickets"), "yes") == 0)
        must(wolfSSL_UseSessionTicket(ssl) == WOLFSSL_SUCCESS, "SessionTicket");
    if (word("group")) {
        int group = atoi(word("group"));
        must(wolfSSL_set_groups(ssl, &group, 1) == WOLFSSL_SUCCESS, "groups");
    }
    if (!is_server && word("share"))
        must(wolfSSL_UseKeyShare(ssl, (unsigned short)atoi(word("share"))) == WOLFSSL_SUCCESS, "key share");
    if (session && !word("afresh"))
        must(wolfSSL_set_session(ssl, session) == WOLFSSL_SUCCESS, "session");
}

/* As far as it goes without another datagram. */
static void proceed(void)
{
    if (failed)
        return;
    while (!established) {
        int outcome = is_server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);
        if (outcome != WOLFSSL_SUCCESS) {
            int error = wolfSSL_get_error(ssl, outcome);
            /* Data before the last ACK: it must be fetched, and then the handshake goes on. */
            unsigned char buffer[16384];
            if (error == APP_DATA_READY && (outcome = wolfSSL_read(ssl, buffer, sizeof buffer)) > 0) {
                answer(RECEIVED, buffer, (size_t)outcome);
                continue;
            }
            if (error != WOLFSSL_ERROR_WANT_READ && error != WOLFSSL_ERROR_WANT_WRITE)
                fail("handshake", error);
            return;
        }
        established = 1;
        answer(ESTABLISHED, "", 0);
    }
    for (;;) {
        unsigned char buffer[16384];
        int len = wolfSSL_read(ssl, buffer, sizeof buffer);
        if (len > 0) {
            answer(RECEIVED, buffer, (size_t)len);
            continue;
        }
        int error = wolfSSL_get_error(ssl, len);
        if (error == WOLFSSL_ERROR_ZERO_RETURN)
            answer(PEER_CLOSED, "", 0);
        else if (error != WOLFSSL_ERROR_WANT_READ && error != WOLFSSL_ERROR_WANT_WRITE)
            fail("read", error);
        return;
    }
}

static void facts(void)
{
    char *protocol = NULL;
    unsigned short protocol_len = 0;
    if (wolfSSL_ALPN_GetProtocol(ssl, &protocol, &protocol_len) == WOLFSSL_SUCCESS)
        fact("alpn", protocol, protocol_len);
    void *name = NULL;
    unsigned short name_len = wolfSSL_SNI_GetRequest(ssl, WOLFSSL_SNI_HOST_NAME, &name);
    if (is_server && name_len)
        fact("sni", name, name_len);
    if (wolfSSL_session_reused(ssl))
        fact("resumed", "yes", 3);
    const WOLFSSL_SRTP_PROTECTION_PROFILE *profile = wolfSSL_get_selected_srtp_profile(ssl);
    if (profile) {
        unsigned char keys[256];
        size_t len = 0;
        fact("srtp", profile->name, strlen(profile->name));
        wolfSSL_export_dtls_srtp_keying_material(ssl, NULL, &len);
        if (len <= sizeof keys && wolfSSL_export_dtls_srtp_keying_material(ssl, keys, &len) == WOLFSSL_SUCCESS)
            fact("srtp_keys", keys, len);
    }
}

/* How many milliseconds to wait for a datagram before a timeout is one, and nothing if there is no need: as the library's own
 * callback for sockets has it (EmbedReceiveFrom). */
static void timeout(void)
{
    int quick = is_13 && wolfSSL_dtls13_use_quick_timeout(ssl);
    int waiting = !established || (is_13 && (ssl->dtls13Rtx.rtxRecords || (quick && ssl->dtls13Rtx.seenRecords)));
    char text[16];
    snprintf(text, sizeof text, "%d", wolfSSL_dtls_get_current_timeout(ssl) * 1000 / (quick ? 4 : 1));
    if (waiting && !failed)
        fact("timeout", text, strlen(text));
}

static void export_keys(const unsigned char *context, size_t len)
{
    unsigned char out[32];
    /* The first octet says whether there is a context. */
    const char *label = word("label");
    if (wolfSSL_export_keying_material(ssl, out, sizeof out, label, strlen(label), context + 1, len - 1, context[0]) ==
        WOLFSSL_SUCCESS)
        fact("exported", out, sizeof out);
}

static void command(int what, unsigned char *octets, size_t len)
{
    switch (what) {
    case NEW:
        new_association();
        break;
    case DATAGRAM:
        memcpy(arrived, octets, len);
        arrived_len = (int)len;
        break;
    case TICK:
        if (wolfSSL_dtls_get_current_timeout(ssl) == 0)
            wolfSSL_dtls_got_timeout(ssl);
        break;
    case CLOCK:
        told = 0;
        for (size_t i = 0; i < len; i++)
            told = told << 8 | octets[i];
        /* Nothing happens by that alone. */
        return;
    case TIMEOUT:
        timeout();
        return;
    case EXPIRE:
        if (wolfSSL_dtls_got_timeout(ssl) != WOLFSSL_SUCCESS && !established)
            fail("timeout", wolfSSL_get_error(ssl, WOLFSSL_FATAL_ERROR));
        break;
    case WRITE:
        if (wolfSSL_write(ssl, octets, (int)len) != (int)len)
            fail("write", wolfSSL_get_error(ssl, -1));
        break;
    case UPDATE_KEYS:
        if (wolfSSL_update_keys(ssl) != WOLFSSL_SUCCESS)
            fail("KeyUpdate", wolfSSL_get_error(ssl, -1));
        break;
    case EXPORT:
        export_keys(octets, len);
        break;
    case FACTS:
        facts();
        break;
    case CLOSE:
        wolfSSL_shutdown(ssl);
        break;
    }
    proceed();
}

int main(int argc, char **argv)
{
    static unsigned char octets[65536];
    unsigned char head[3];
    must(argc >= 6, "client|server 1.2|1.3 ROOTS CHAIN KEY [word=value]...");
    words = argv + 6;
    word_count = argc - 6;
    clock_gettime(CLOCK_REALTIME, &start);
    wolfSSL_Init();
    configure(argv);
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t len = (size_t)head[1] << 8 | head[2];
        if (fread(octets, 1, len, stdin) != len)
            break;
        command(head[0], octets, len);
        answer(DONE, "", 0);
        fflush(stdout);
    }
    return 0;
}
