/* Runs the loop of Debian's cron in virtual time and writes down each job that it would start: the
   number of its line in the crontab, and the minute since the epoch. See README.md. */
#include "cron.h"
#include <pwd.h>

static time_t now, end;
static FILE *out;

extern int cron_main(int, char **);

time_t time(time_t *t)
{
	if (t)
		*t = now;
	return now;
}

unsigned sleep(unsigned seconds)
{
	now += seconds;
	if (now >= end) {
		fclose(out);
		_exit(0);
	}
	return 0;
}

void job_add(entry *e, user *u)
{
	int record[2] = {e->uid, (int)(now / 60)};
	fwrite(record, sizeof record, 1, out);
}

/* Between the jobs of a skipped hour the real one waits ten seconds each; here there is no load. */
int job_runqueue(void) { return 0; }

static void refuse(char *why)
{
	fprintf(stderr, "a line was refused: %s\n", why);
	_exit(1);
}

void load_database(cron_db *db)
{
	static user u;
	struct passwd pw = {.pw_name = "x", .pw_dir = "/"};
	entry *e, **next = &u.crontab;
	FILE *f;
	int line = 0;

	if (db->head)
		return;
	f = fopen(getenv("CRONTAB"), "r");
	while ((e = load_entry(f, refuse, &pw, env_init())) != NULL) {
		e->uid = line++;
		*next = e;
		next = &e->next;
	}
	db->head = db->tail = &u;
}

/* It is not the first start: no @reboot jobs. */
int access(const char *path, int mode) { return 0; }

void do_command(entry *e, user *u) {}
void check_orphans(cron_db *db) {}
void acquire_daemonlock(int closeflag) {}
void set_cron_uid(void) {}
void set_cron_cwd(void) {}
void log_it(char *user, int pid, char *event, char *detail) {}
void log_close(void) {}

int main(void)
{
	char *arguments[] = {"cron", "-f", NULL};
	now = atol(getenv("NOW"));
	end = atol(getenv("END"));
	out = fopen(getenv("OUT"), "w");
	return cron_main(2, arguments);
}
