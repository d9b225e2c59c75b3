/*
 * A notebook that survives its process, whatever ends it:
 *
 *     kept DIRECTORY         writes each line of standard input down, and prints it then
 *     kept DIRECTORY list    prints what was written down, as JSON texts
 *
 * A line that was printed is in the directory: kill -9 at any moment, and list again.
 */

#include <distflow.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says what went wrong with the last call. */
static int failed(const char *what)
{
    char text[256];
    distflow_status status = distflow_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s (%s)\n", what, text, distflow_status_name(status));
    return EXIT_FAILURE;
}

/* A text as JSON behind a prefix and in front of a suffix, to be freed; NULL without memory. */
static char *quoted(const char *prefix, const char *text, const char *suffix)
{
    /* At most six bytes for one, and the quotes and NUL around them. */
    char *json = malloc(strlen(prefix) + 6 * strlen(text) + strlen(suffix) + 3);
    if (json == NULL) {
        return NULL;
    }
    char *end = json + sprintf(json, "%s\"", prefix);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            *end++ = '\\';
            *end++ = *text;
        } else if ((unsigned char)*text < 0x20) {
            end += sprintf(end, "\\u%04x", (unsigned)*text);
        } else {
            *end++ = *text;
        }
    }
    sprintf(end, "\"%s", suffix);
    return json;
}

/* How many entries there are: the number at /count. */
static int read_count(distflow_doc *doc, uint64_t *count)
{
    distflow_buf json;
    if (distflow_doc_get(doc, "/count", &json) != DISTFLOW_OK) {
        return failed("cannot read");
    }
    *count = strtoull(json.data, NULL, 10);
    distflow_buf_free(&json);
    return EXIT_SUCCESS;
}

/* The entry first: if the process ends in between, the next one writes its own in that place. */
static int add(distflow_doc *doc, uint64_t number, const char *line)
{
    char *json = quoted("", line, "");
    if (json == NULL) {
        fputs("no memory\n", stderr);
        return EXIT_FAILURE;
    }
    char path[40], count[24];
    snprintf(path, sizeof path, "/entries/%" PRIu64, number);
    snprintf(count, sizeof count, "%" PRIu64, number + 1);
    int is_written =
        distflow_doc_set(doc, path, json, strlen(json), NULL) == DISTFLOW_OK &&
        distflow_doc_set(doc, "/count", count, strlen(count), NULL) == DISTFLOW_OK;
    free(json);
    return is_written ? EXIT_SUCCESS : failed("cannot write");
}

static int add_lines(distflow_doc *doc)
{
    uint64_t count;
    if (read_count(doc, &count) != EXIT_SUCCESS) {
        return EXIT_FAILURE;
    }
    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (add(doc, count++, line) != EXIT_SUCCESS) {
            return EXIT_FAILURE;
        }
        puts(line);
    }
    /* The end of this process loses nothing; from here on, that of the machine neither. */
    return distflow_doc_flush(doc) == DISTFLOW_OK ? EXIT_SUCCESS : failed("cannot flush");
}

static int list(distflow_doc *doc)
{
    uint64_t count;
    if (read_count(doc, &count) != EXIT_SUCCESS) {
        return EXIT_FAILURE;
    }
    for (uint64_t number = 0; number < count; number++) {
        char path[40];
        snprintf(path, sizeof path, "/entries/%" PRIu64, number);
        distflow_buf json;
        if (distflow_doc_get(doc, path, &json) != DISTFLOW_OK) {
            return failed("cannot read");
        }
        puts(json.data);
        distflow_buf_free(&json);
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int lists = argc == 3 && strcmp(argv[2], "list") == 0;
    if (argc != 2 + lists || *argv[1] == '\0') {
        fputs("usage: kept DIRECTORY [list]\n", stderr);
        return 2;
    }
    /* Lines appear at once, also in a pipe. */
    setvbuf(stdout, NULL, _IOLBF, 0);

    if (distflow_check_abi(DISTFLOW_ABI_VERSION) != DISTFLOW_OK) {
        return failed("wrong library");
    }
    char *options = quoted("{\"directory\":", argv[1], "}");
    if (options == NULL) {
        fputs("no memory\n", stderr);
        return EXIT_FAILURE;
    }
    const char *initial = "{\"count\":0,\"entries\":{}}";
    distflow_doc *doc;
    distflow_status status = distflow_doc_open("notebook", initial, strlen(initial), options,
                                               strlen(options), &doc);
    free(options);
    if (status != DISTFLOW_OK) {
        return failed("cannot open the notebook");
    }
    int code = lists ? list(doc) : add_lines(doc);
    distflow_doc_free(doc);
    return code;
}
