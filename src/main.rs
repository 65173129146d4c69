//! Arguments and environment in; text and exit code out. It decides nothing.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use qus::error::{Error, Exit, Step};
use qus::report::{Form, Rendered};
use qus::{cli, commands, report};

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    args.next();
    let args: Vec<OsString> = args.collect();
    let invocation = match cli::parse(&args, &|name| std::env::var_os(name)) {
        Ok(invocation) => invocation,
        Err(error) => return say(&report::misuse(&error)),
    };
    let (report, holder) = commands::run(&invocation.commands);
    let form = Form { json: invocation.json, quiet: invocation.quiet, brief: invocation.brief };
    let render = |report: &_| report::render(report, form);
    let exit = say(&render(&report));
    match holder {
        Some(holder) if exit == ExitCode::SUCCESS => {
            let last = holder.wait(&mut |found| {
                say(&render(found));
            });
            say(&render(&last))
        }
        Some(holder) => {
            // The report could not be delivered, so nobody would know that this process stays. stdout has failed already.
            say(&Rendered { stdout: String::new(), ..render(&holder.release()) });
            exit
        }
        None => exit,
    }
}

fn say(said: &Rendered) -> ExitCode {
    // If stderr fails, there is nowhere left to report it.
    let _ = std::io::stderr().write_all(said.stderr.as_bytes());
    let written =
        std::io::stdout().write_all(said.stdout.as_bytes()).and_then(|()| std::io::stdout().flush());
    let exit = match written {
        Ok(()) => said.exit,
        // A reader that stops early is no failure of qus.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => said.exit,
        Err(e) => {
            let error = Error::new(Step::Write, "the output", e);
            let _ = std::io::stderr().write_all(error.line().as_bytes());
            said.exit.max(Exit::Failed)
        }
    };
    ExitCode::from(exit as u8)
}
