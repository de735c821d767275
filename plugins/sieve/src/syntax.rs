//! From tokens to the generic tree of RFC 5228 section 8.2: commands, tests, arguments. Knows no command by name.

use std::borrow::Cow;

use crate::flaw::Flaw;
use crate::lexer::{Lexer, Token};

/// Deepest blocks, and deepest tests in a command.
pub(crate) const DEPTH: usize = 15;

/// A command: a call, then `;` or a block.
#[derive(Debug)]
pub(crate) struct Command<'s> {
    /// Name, arguments and tests.
    pub(crate) call: Call<'s>,
    /// The commands in braces, when it has braces.
    pub(crate) block: Option<Vec<Command<'s>>>,
}

/// A name with arguments and tests.
#[derive(Debug)]
pub(crate) struct Call<'s> {
    /// Offset of the name.
    pub(crate) at: u32,
    /// As written; compare it without case.
    pub(crate) name: &'s str,
    /// In order.
    pub(crate) arguments: Vec<Argument<'s>>,
    /// One test, or those in parentheses.
    pub(crate) tests: Vec<Call<'s>>,
    /// Whether the tests stand in parentheses.
    pub(crate) is_list: bool,
}

/// One argument.
#[derive(Debug)]
pub(crate) struct Argument<'s> {
    /// Its offset.
    pub(crate) at: u32,
    /// What it is.
    pub(crate) value: Value<'s>,
}

/// What an argument can be.
#[derive(Debug)]
pub(crate) enum Value<'s> {
    /// `:name`, without the colon.
    Tag(&'s str),
    /// A number.
    Number(u64),
    /// One text, or a list of them, each with its offset. A list of one is the same as the one.
    Texts(Vec<(u32, Cow<'s, str>)>),
}

/// The commands of a script.
pub(crate) fn parse(script: &str) -> Result<Vec<Command<'_>>, Flaw> {
    let mut parser = Parser { lexer: Lexer::new(script), at: 0, token: Token::End };
    parser.advance()?;
    let commands = parser.commands(0)?;
    match parser.token {
        Token::End => Ok(commands),
        _ => Err(parser.expected("a command")),
    }
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    /// Where the token starts.
    at: u32,
    token: Token<'s>,
}

impl<'s> Parser<'s> {
    fn advance(&mut self) -> Result<Token<'s>, Flaw> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn expected(&self, what: &str) -> Flaw {
        Flaw::new(self.at, format!("expected {what}, found {}", self.token.name()))
    }

    fn commands(&mut self, depth: usize) -> Result<Vec<Command<'s>>, Flaw> {
        let mut commands = Vec::new();
        while let Token::Identifier(name) = self.token {
            commands.push(self.command(name, depth)?);
        }
        Ok(commands)
    }

    fn command(&mut self, name: &'s str, depth: usize) -> Result<Command<'s>, Flaw> {
        let call = self.call(name, 0)?;
        let block = match self.token {
            Token::Mark(';') => None,
            Token::Mark('{') if depth == DEPTH => {
                return Err(Flaw::new(self.at, format!("blocks are nested deeper than {DEPTH}")));
            }
            Token::Mark('{') => {
                self.advance()?;
                let commands = self.commands(depth + 1)?;
                if self.token != Token::Mark('}') {
                    return Err(self.expected("a command or \"}\""));
                }
                Some(commands)
            }
            _ => return Err(self.expected(&format!("\";\" after {}, or an argument of it", call.name))),
        };
        self.advance()?;
        Ok(Command { call, block })
    }

    fn call(&mut self, name: &'s str, depth: usize) -> Result<Call<'s>, Flaw> {
        if depth > DEPTH {
            return Err(Flaw::new(self.at, format!("tests are nested deeper than {DEPTH}")));
        }
        let at = self.at;
        self.advance()?;
        let mut call = Call { at, name, arguments: Vec::new(), tests: Vec::new(), is_list: false };
        while let Some(argument) = self.argument()? {
            call.arguments.push(argument);
        }
        match self.token {
            Token::Identifier(name) => call.tests.push(self.call(name, depth + 1)?),
            Token::Mark('(') => {
                call.is_list = true;
                call.tests = self.tests(depth + 1)?;
            }
            _ => {}
        }
        Ok(call)
    }

    fn tests(&mut self, depth: usize) -> Result<Vec<Call<'s>>, Flaw> {
        let mut tests = Vec::new();
        loop {
            self.advance()?;
            let Token::Identifier(name) = self.token else { return Err(self.expected("a test")) };
            tests.push(self.call(name, depth)?);
            match self.token {
                Token::Mark(',') => {}
                Token::Mark(')') => {
                    self.advance()?;
                    return Ok(tests);
                }
                _ => return Err(self.expected("\",\" or \")\" after a test")),
            }
        }
    }

    fn argument(&mut self) -> Result<Option<Argument<'s>>, Flaw> {
        let at = self.at;
        let value = match self.token {
            Token::Tag(tag) => {
                self.advance()?;
                Value::Tag(tag)
            }
            Token::Number(number) => {
                self.advance()?;
                Value::Number(number)
            }
            Token::Text(_) => Value::Texts(vec![self.text()?]),
            Token::Mark('[') => Value::Texts(self.list()?),
            Token::Identifier(_) | Token::Mark(_) | Token::End => return Ok(None),
        };
        Ok(Some(Argument { at, value }))
    }

    fn text(&mut self) -> Result<(u32, Cow<'s, str>), Flaw> {
        let at = self.at;
        match self.advance()? {
            Token::Text(text) => Ok((at, text)),
            other => Err(Flaw::new(at, format!("expected a text in quotes, found {}", other.name()))),
        }
    }

    fn list(&mut self) -> Result<Vec<(u32, Cow<'s, str>)>, Flaw> {
        self.advance()?;
        let mut texts = Vec::new();
        if self.token == Token::Mark(']') {
            self.advance()?;
            return Ok(texts);
        }
        loop {
            texts.push(self.text()?);
            match self.token {
                Token::Mark(',') => self.advance()?,
                Token::Mark(']') => {
                    self.advance()?;
                    return Ok(texts);
                }
                _ => return Err(self.expected("\",\" or \"]\" in a list of texts")),
            };
        }
    }
}
