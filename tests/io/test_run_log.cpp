// test_run_log.cpp - rows out and in, and what resume keeps of a log that a crash left.
#include "io/run_log.h"

#include <unistd.h>
#include <cmath>
#include <cstdlib>

#include "io/file.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

const std::string kHeader = std::string(kRunLogHeader) + "\n";

struct TemporaryFile {
    std::string path;
    TemporaryFile() {
        char name[] = "/tmp/test_run_log_XXXXXX";
        ::close(::mkstemp(name));
        path = name;
    }
    ~TemporaryFile() { ::unlink(path.c_str()); }
};

LogRow row(int64_t step) {
    LogRow row;
    row.step = step;
    row.tokens = step * 2048;
    row.loss = float(4.17f / float(step));
    row.lr = 3e-4f;
    row.grad_norm = 0.1f;
    row.tokens_per_s = 123456.789f;
    if (step % 2 == 0) row.val_loss = 1.7f;
    return row;
}

}  // namespace

TEST_CASE("run_log: floats come back exactly, an empty val_loss stays empty", "[cpu]") {
    TemporaryFile file;
    {
        RunLog log = RunLog::create(file.path);
        for (int64_t step = 1; step <= 100; step++) log.add(row(step));
    }
    const std::vector<LogRow> rows = read_run_log(file.path);
    REQUIRE(rows.size() == 100);
    for (int64_t step = 1; step <= 100; step++) {
        const LogRow& got = rows[size_t(step - 1)];
        CAPTURE(step);
        REQUIRE(got.step == step);
        REQUIRE(got.tokens == row(step).tokens);
        REQUIRE(float(got.loss) == float(row(step).loss));
        REQUIRE(float(got.tokens_per_s) == float(row(step).tokens_per_s));
        REQUIRE(got.val_loss.has_value() == (step % 2 == 0));
    }
    REQUIRE(float(*rows[1].val_loss) == 1.7f);
}

TEST_CASE("run_log: the format is the documented one", "[cpu]") {
    TemporaryFile file;
    RunLog log = RunLog::create(file.path);
    LogRow one;
    one.step = 1, one.tokens = 2048, one.loss = 4.25, one.lr = 0.001, one.grad_norm = 1.5,
    one.tokens_per_s = 1000;
    log.add(one);
    one.step = 2, one.val_loss = 4.125;
    log.add(one);
    REQUIRE(read_file(file.path) ==
            "step,tokens,loss,lr,grad_norm,tokens_per_s,val_loss\n");  // rows wait for a second
    log.flush();
    REQUIRE(read_file(file.path) ==
            "step,tokens,loss,lr,grad_norm,tokens_per_s,val_loss\n1,2048,4.25,0.001,1.5,1000,\n2,2048,4.25,0."
            "001,1.5,1000,4.125\n");
}

TEST_CASE("run_log: resume cuts back to the checkpoint and drops a torn line", "[cpu]") {
    TemporaryFile file;
    const std::string three = kHeader + "1,8,4,1,1,1,\n2,16,3,1,1,1,2.5\n3,24,2,1,1,1,\n";
    const std::string two = kHeader + "1,8,4,1,1,1,\n2,16,3,1,1,1,2.5\n";
    write_file_atomically(file.path, three + "4,32,1.");
    {
        RunLog log = RunLog::resume(file.path, 2);
        REQUIRE(read_file(file.path) == two);
        log.add(row(3));
    }
    REQUIRE(read_run_log(file.path).size() == 3);
    REQUIRE(read_run_log(file.path)[2].tokens == 3 * 2048);

    // A log cut off at any byte can be gone on with, and has no row that was not written whole.
    for (size_t length = 0; length <= three.size(); length++) {
        CAPTURE(length);
        write_file_atomically(file.path, three.substr(0, length));
        { RunLog log = RunLog::resume(file.path, 3); }
        const std::string kept = read_file(file.path);
        REQUIRE(kept.substr(0, kHeader.size()) == kHeader);
        REQUIRE(three.compare(0, kept.size(), kept) == 0);
        REQUIRE(kept.back() == '\n');
        REQUIRE(kept.size() <= std::max(length, kHeader.size()));
    }
}

TEST_CASE("run_log: a missing log is begun anew", "[cpu]") {
    TemporaryFile file;
    ::unlink(file.path.c_str());
    { RunLog log = RunLog::resume(file.path, 7); }
    REQUIRE(read_file(file.path) == kHeader);
}

TEST_CASE("run_log: a foreign file is refused and left alone", "[cpu]") {
    TemporaryFile file;
    write_file_atomically(file.path, "name,phone\nAda,1\n");
    const Failure failure = failure_of([&] { RunLog::resume(file.path, 1); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE_THAT(failure.message, contains("is not a run log"));
    REQUIRE(read_file(file.path) == "name,phone\nAda,1\n");
    REQUIRE_THAT(failure_of([&] { read_run_log(file.path); }).message, contains("is not a run log"));
}

TEST_CASE("run_log: a bad row is refused with its line", "[cpu]") {
    TemporaryFile file;
    for (const char* bad : {"x", "2,16,3,1,1,1", "2,16,3,1,1,1,,", "2.5,16,3,1,1,1,", "2,16,3x,1,1,1,",
                            "2,16,,1,1,1,", "", "99999999999999999999,16,3,1,1,1,", "-1,16,3,1,1,1,"}) {
        CAPTURE(bad);
        write_file_atomically(file.path, kHeader + "1,8,4,1,1,1,\n" + bad + "\n3,8,4,1,1,1,\n");
        REQUIRE_THAT(failure_of([&] { read_run_log(file.path); }).message, contains("line 3: not a row"));
    }
    write_file_atomically(file.path, kHeader + "1,8,nan,1,inf,1,\n");  // a run that went wrong may say so
    REQUIRE(std::isnan(read_run_log(file.path)[0].loss));
}

TEST_CASE("run_log: a closed log takes rows and keeps none", "[cpu]") {
    RunLog log;
    log.add(row(1));
    log.flush();
}
