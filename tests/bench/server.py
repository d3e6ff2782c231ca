"""server.py - a program that is measured in turns: "run N" on its stdin, one line of JSON back, until its stdin ends.

compare.py (two CPU cores) and tools/gpu-check (a GPU) let such programs take turns without paying their start-up.
Not here: what is measured, and against what.
"""
import json
import subprocess
import threading


class Server:
    def __init__(self, command, folder, env, **more):
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        **{"stderr": subprocess.DEVNULL, **more})

    def kill(self):
        self.process.kill()

    def ask(self, line, seconds):
        """The answer to a command, a dictionary; None when the program has ended, is late (it is killed then) or answers
        with something else."""
        watchdog = threading.Timer(max(0.0, seconds), self.kill)
        watchdog.start()
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline() or "null")
            return answer if isinstance(answer, dict) else None
        except (OSError, ValueError):
            return None
        finally:
            watchdog.cancel()

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
                self.process.wait()
