//! Owns the tests of the external command, with the shell as the program. Must not need any other program.

use super::*;

fn tokens(script: &str, limit: Duration) -> Tokens {
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    Tokens::new(Source::Command(TokenCommand::new(&command, "/".into(), limit).unwrap()))
}

async fn fails(script: &str) -> String {
    let tokens = tokens(script, Duration::from_secs(20));
    let error = tokens.bearer(at(0), false).await.unwrap_err();
    assert!(matches!(error, Error::Command { .. }), "{error}");
    format!("{error} {error:?} {tokens:?}")
}

#[tokio::test]
async fn the_first_line_is_the_token_and_it_is_kept_for_a_while() {
    let tokens = tokens("echo token-$$; echo more", Duration::from_secs(20));
    let first = tokens.bearer(at(0), false).await.unwrap();
    assert!(first.expose().starts_with("token-") && !first.expose().contains('\n'));
    assert_eq!(tokens.bearer(at(600), false).await.unwrap().expose(), first.expose());
    assert_ne!(tokens.bearer(at(601), true).await.unwrap().expose(), first.expose());
}

#[tokio::test]
async fn json_may_say_how_long_it_lives() {
    let tokens = tokens("echo '{\"access_token\":\"abc\",' '\"expires_in\":100}'", Duration::from_secs(20));
    let bearer = tokens.bearer(at(0), false).await.unwrap();
    assert_eq!((bearer.expose(), bearer.expires_at()), ("abc", at(100)));
}

#[tokio::test]
async fn a_failure_shows_what_the_program_complained_of_without_its_token_or_escapes() {
    let text = fails("echo canary-token; printf 'no \\033[31m canary-token' >&2; exit 3").await;
    assert!(text.contains("exit code 3") && text.contains("\\u{1b}"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn what_is_no_token_is_refused_and_not_shown() {
    for script in ["true", "echo canary with blanks", "echo '{\"access\":\"canary\"'", "printf '\\377canary'"]
    {
        let text = fails(script).await;
        assert!(text.contains("printed no token") && !text.contains("canary "), "{script}: {text}");
    }
}

#[tokio::test]
async fn endless_output_is_cut_off() {
    assert!(fails("while :; do echo canary canary canary canary; done").await.contains("more than 64 KiB"));
}

#[tokio::test]
async fn a_program_that_does_not_end_is_ended() {
    let tokens = tokens("sleep 1000 & sleep 1000", Duration::from_millis(100));
    let error = tokens.bearer(at(0), false).await.unwrap_err();
    assert!(error.to_string().contains("did not end within 0.1 s"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_says_so() {
    let command =
        TokenCommand::new(&["/nowhere/pizauth".into()], "/".into(), Duration::from_secs(1)).unwrap();
    let error = Tokens::new(Source::Command(command)).bearer(at(0), false).await.unwrap_err();
    assert!(error.to_string().contains("cannot be run"), "{error}");
}
