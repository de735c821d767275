//! From the generic tree to a program: names, arguments and extensions are checked here, before any message.

mod actions;
mod arguments;
mod matches;
mod test;

use crate::extension::{Extension, Extensions, why_not};
use crate::flaw::{Flaw, quoted};
use crate::program::{Action, Need, Program, Step, Test};
use crate::syntax::{Call, Command};
use crate::text::{self, Text};
use crate::variables::{MOST, Names};

use self::arguments::Arguments;
pub(crate) use self::matches::regex;

/// The program of a script.
pub(crate) fn compile(commands: &[Command<'_>]) -> Result<Program, Flaw> {
    let mut compiler = Compiler::default();
    let commands = compiler.requires(commands)?;
    let steps = compiler.steps(commands)?;
    let captures = compiler.extensions.has(Extension::Variables);
    Ok(Program { steps, needs: compiler.needs, captures })
}

/// What is known up to where the script was read.
#[derive(Default)]
struct Compiler {
    extensions: Extensions,
    names: Names,
    needs: Vec<(Need, u32)>,
}

impl Compiler {
    /// Reads the `require` commands a script begins with, RFC 5228 section 3.2, and leaves the others.
    fn requires<'c, 's>(&mut self, commands: &'c [Command<'s>]) -> Result<&'c [Command<'s>], Flaw> {
        let is_require = |command: &Command<'_>| command.call.name.eq_ignore_ascii_case("require");
        let end = commands.iter().position(|command| !is_require(command)).unwrap_or(commands.len());
        let (requires, others) = commands.split_at(end);
        for command in requires {
            let mut arguments = Arguments::of(&command.call);
            no_tests(&command.call)?;
            no_block(command)?;
            for (at, name) in arguments.texts("the names of extensions")? {
                match Extension::find(name) {
                    Some(extension) => self.extensions.add(extension),
                    None => {
                        let text =
                            format!("the extension {} is not supported{}", quoted(name), why_not(name));
                        return Err(Flaw::new(*at, text));
                    }
                }
            }
            arguments.end()?;
        }
        Ok(others)
    }

    fn steps(&mut self, commands: &[Command<'_>]) -> Result<Vec<Step>, Flaw> {
        let mut steps: Vec<Step> = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            let continues = index > 0 && matches!(steps.last(), Some(Step::If { .. })) && {
                let before = commands[index - 1].call.name;
                before.eq_ignore_ascii_case("if") || before.eq_ignore_ascii_case("elsif")
            };
            let chain = if continues { steps.last_mut() } else { None };
            match self.command(command, chain) {
                Ok(Some(step)) => steps.push(step),
                Ok(None) => {}
                Err(flaw) => steps.push(self.deferred(flaw)?),
            }
        }
        Ok(steps)
    }

    /// With `ihave` what is wrong is an error only where it is reached, RFC 5463 section 4.
    fn deferred(&self, flaw: Flaw) -> Result<Step, Flaw> {
        match self.extensions.has(Extension::IHave) {
            true => Ok(Step::Act { at: flaw.at, action: Action::Refused { text: flaw.text } }),
            false => Err(flaw),
        }
    }

    /// One command; `elsif` and `else` go into the chain before them.
    fn command(&mut self, command: &Command<'_>, chain: Option<&mut Step>) -> Result<Option<Step>, Flaw> {
        let Command { call, block } = command;
        let name = call.name.to_ascii_lowercase();
        match name.as_str() {
            "if" => {
                let (test, steps) = self.branch(command)?;
                Ok(Some(Step::If { branches: vec![(test, steps)], otherwise: Vec::new() }))
            }
            "elsif" | "else" => {
                let Some(Step::If { branches, otherwise }) = chain else {
                    let text = format!("{} must follow \"if\" or \"elsif\"", quoted(&name));
                    return Err(Flaw::new(call.at, text));
                };
                if name == "elsif" {
                    branches.push(self.branch(command)?);
                } else {
                    Arguments::of(call).end()?;
                    no_tests(call)?;
                    let Some(block) = block else { return Err(needs_block(call)) };
                    *otherwise = self.steps(block)?;
                }
                Ok(None)
            }
            "require" => Err(Flaw::new(call.at, "\"require\" must stand before all other commands")),
            _ => {
                no_block(command)?;
                no_tests(call)?;
                let action = self.action(&name, call)?;
                Ok(Some(Step::Act { at: call.at, action }))
            }
        }
    }

    fn branch(&mut self, command: &Command<'_>) -> Result<(Test, Vec<Step>), Flaw> {
        let Command { call, block } = command;
        Arguments::of(call).end()?;
        let test = match call.tests.as_slice() {
            [test] if !call.is_list => self.test(test)?,
            _ => return Err(Flaw::new(call.at, format!("{} takes one test", quoted(call.name)))),
        };
        let Some(block) = block else { return Err(needs_block(call)) };
        Ok((test, self.steps(block)?))
    }

    /// Refuses what an extension brings when the script did not ask for it.
    fn need(&self, extension: Extension, at: u32, what: &str) -> Result<(), Flaw> {
        match self.extensions.has(extension) {
            true => Ok(()),
            false => Err(Flaw::new(at, format!("{} needs require \"{}\"", quoted(what), extension.name()))),
        }
    }

    /// Notes that the operator has to set something.
    fn needs(&mut self, need: Need, at: u32) {
        // With `ihave` it is an error where it is reached.
        if !self.extensions.has(Extension::IHave) && !self.needs.iter().any(|(known, _)| *known == need) {
            self.needs.push((need, at));
        }
    }

    /// A text, with what the script asked to be put in.
    fn text(&self, (at, text): (u32, &str)) -> Result<Text, Flaw> {
        if !text.contains("${") {
            return Ok(Text::Plain(text.to_owned()));
        }
        let decoded = match self.extensions.has(Extension::EncodedCharacter) {
            true => text::decoded(text, at)?,
            false => text.to_owned(),
        };
        match self.extensions.has(Extension::Variables) {
            true => text::template(&decoded, at, &self.names),
            false => Ok(Text::Plain(decoded)),
        }
    }

    fn texts(&self, texts: &[(u32, std::borrow::Cow<'_, str>)]) -> Result<Vec<Text>, Flaw> {
        texts.iter().map(|(at, text)| self.text((*at, text))).collect()
    }

    /// The number of a variable that is set, by its constant name.
    fn variable(&mut self, (at, name): (u32, &str)) -> Result<usize, Flaw> {
        if !text::is_name(name) {
            let text = format!("{} cannot be set: letters, digits and \"_\" name a variable", quoted(name));
            return Err(Flaw::new(at, text));
        }
        let number = self.names.number(name);
        number.ok_or_else(|| Flaw::new(at, format!("there are more than {MOST} variables")))
    }
}

fn no_block(command: &Command<'_>) -> Result<(), Flaw> {
    match command.block {
        None => Ok(()),
        Some(_) => {
            let text = format!("{} takes no block: expected \";\"", quoted(command.call.name));
            Err(Flaw::new(command.call.at, text))
        }
    }
}

fn needs_block(call: &Call<'_>) -> Flaw {
    Flaw::new(call.at, format!("{} needs a block: expected \"{{\"", quoted(call.name)))
}

fn no_tests(call: &Call<'_>) -> Result<(), Flaw> {
    match call.tests.first() {
        None => Ok(()),
        Some(test) => Err(Flaw::new(
            test.at,
            format!("{} takes no test, found {}", quoted(call.name), quoted(test.name)),
        )),
    }
}
