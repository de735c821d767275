//! Owns the tests of renewal: when, how often, and what a server that is unwell does to it. Must not test the file alone.

use postroom_practice::Times;
use postroom_practice::token::TokenFault;

use super::*;

#[tokio::test]
async fn a_token_is_not_renewed_at_every_poll_but_shortly_before_it_ends() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let first = tokens.bearer(at(1), false).await.unwrap();
    for second in [10, 1000, 3299] {
        assert_eq!(tokens.bearer(at(second), false).await.unwrap().expose(), first.expose());
    }
    assert_eq!(world.refreshes(), 0);
    let second = tokens.bearer(at(3300), false).await.unwrap();
    assert_ne!(second.expose(), first.expose());
    assert!(world.server.accepts(second.expose()));
    assert_eq!(second.expires_at(), at(6900));
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn the_margin_of_a_short_token_is_a_tenth_of_its_life() {
    let world = World::with(|config| config.lifetime(Duration::from_secs(100))).await;
    let tokens = world.signed_in().await;
    tokens.bearer(at(89), false).await.unwrap();
    assert_eq!(world.refreshes(), 0);
    tokens.bearer(at(90), false).await.unwrap();
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_renewal() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let other = tokens.clone();
    let (one, two) = tokio::join!(tokens.bearer(at(4000), false), other.bearer(at(4000), false));
    assert_eq!(one.unwrap().expose(), two.unwrap().expose());
    assert_eq!(world.refreshes(), 1);
    // Two whose token was refused at the same time, too.
    let (one, two) = tokio::join!(tokens.bearer(at(4100), true), other.bearer(at(4100), true));
    assert_eq!(one.unwrap().expose(), two.unwrap().expose());
    assert_eq!(world.refreshes(), 2);
}

#[tokio::test]
async fn another_process_with_the_same_file_takes_what_the_first_renewed() {
    let world = World::new().await;
    let (one, two) = (world.signed_in().await, world.tokens());
    let (one, two) = tokio::join!(one.bearer(at(4000), false), two.bearer(at(4000), false));
    assert_eq!(one.unwrap().expose(), two.unwrap().expose());
    assert_eq!((world.refreshes(), world.server.stats().reused), (1, 0));
}

#[tokio::test]
async fn a_refused_token_is_renewed_by_force_but_not_twice_in_a_minute() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let first = tokens.bearer(at(10), false).await.unwrap();
    world.server.revoke_access();
    let second = tokens.bearer(at(11), true).await.unwrap();
    assert_ne!(first.expose(), second.expose());
    assert!(world.server.accepts(second.expose()));
    assert_eq!(tokens.bearer(at(70), true).await.unwrap().expose(), second.expose());
    assert_eq!(world.refreshes(), 1);
    assert_ne!(tokens.bearer(at(71), true).await.unwrap().expose(), second.expose());
}

#[tokio::test]
async fn a_revoked_sign_in_says_what_to_do_and_does_not_bother_the_server_again() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    world.server.revoke();
    for second in [4000, 4001, 9000] {
        let error = tokens.bearer(at(second), false).await.unwrap_err();
        assert!(error.needs_sign_in() && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("`postroom auth work`"), "{error}");
    }
    assert_eq!(world.refreshes(), 1);
    // A new sign-in by another process is all it takes.
    world.file.keep(&world.grant().await, &world.client, at(9000)).unwrap();
    assert!(world.server.accepts(tokens.bearer(at(9001), false).await.unwrap().expose()));
}

#[tokio::test]
async fn a_server_that_is_away_is_left_alone_longer_and_longer() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    world.server.inject(TokenFault::Status(Endpoint::Token, 503), Times::Next(2));
    let error = tokens.bearer(at(4000), false).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.is_transient(), "{error}");
    let error = tokens.bearer(at(4029), false).await.unwrap_err();
    assert!(matches!(error, Error::Waiting { .. }) && error.is_transient(), "{error}");
    assert_eq!(world.refreshes(), 1);
    tokens.bearer(at(4030), false).await.unwrap_err();
    tokens.bearer(at(4089), false).await.unwrap_err();
    assert_eq!(world.refreshes(), 2);
    tokens.bearer(at(4090), false).await.unwrap();
    assert_eq!(world.refreshes(), 3);
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    world.server.inject(TokenFault::RetryAfter(Endpoint::Token, 429, 1800), Times::Next(1));
    tokens.bearer(at(4000), false).await.unwrap_err();
    tokens.bearer(at(5799), false).await.unwrap_err();
    assert_eq!(world.refreshes(), 1);
    tokens.bearer(at(5800), false).await.unwrap();
}

#[tokio::test]
async fn while_the_server_is_away_a_token_is_used_until_it_really_ends() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let first = tokens.bearer(at(1), false).await.unwrap();
    world.server.inject(TokenFault::Status(Endpoint::Token, 500), Times::Always);
    assert_eq!(tokens.bearer(at(3400), false).await.unwrap().expose(), first.expose());
    assert_eq!(tokens.bearer(at(3410), false).await.unwrap().expose(), first.expose());
    assert_eq!(world.refreshes(), 1);
    tokens.bearer(at(3600), false).await.unwrap_err();
}

#[tokio::test]
async fn answers_that_are_no_tokens_lose_nothing() {
    let at_token = Endpoint::Token;
    for fault in [
        TokenFault::Garbage(at_token, b"{\"access_token\": 7".to_vec()),
        TokenFault::Garbage(at_token, b"{\"access_token\":\"a b\",\"token_type\":\"Bearer\"}".to_vec()),
        TokenFault::Huge(at_token, 1 << 20),
        TokenFault::Status(at_token, 403),
        TokenFault::Redirect(at_token, "https://elsewhere.example/".into()),
    ] {
        let world = World::new().await;
        let tokens = world.signed_in().await;
        let kept = world.on_disk("refresh_token");
        world.server.inject(fault.clone(), Times::Next(1));
        let error = tokens.bearer(at(4000), false).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{fault:?}: {error}");
        assert_eq!(world.on_disk("refresh_token"), kept);
        tokens.bearer(at(4030), false).await.unwrap();
    }
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_longer_than_told() {
    let world = World::new().await;
    world.signed_in().await;
    world.server.inject(TokenFault::Silent(Endpoint::Token), Times::Always);
    let http = trust(&world.authority, Duration::from_millis(300));
    let (client, file) = (Arc::clone(&world.client), world.file.clone());
    let error = Tokens::new(Source::SignIn { http, client, file }).bearer(at(4000), false).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("in time"), "{error}");
}

#[tokio::test]
async fn no_secret_is_in_any_text_even_if_the_server_repeats_it() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let held = tokens.bearer(at(1), false).await.unwrap();
    let mut texts =
        format!("{held:?} {tokens:?} {:?} {:?} {:?}", world.client, world.http, world.grant().await);
    for code in ["invalid_grant", "invalid_scope", "invalid_client", "made_up", "server_error"] {
        let said = format!("you sent {{secrets}} and {SECRET}");
        world.server.clear_faults();
        world.server.inject(TokenFault::Error(Endpoint::Token, code.into(), said), Times::Next(1));
        let error = world.tokens().bearer(at(4000), false).await.unwrap_err();
        assert!(error.to_string().contains("***"), "the server did repeat it: {error}");
        texts += &format!("{error} {error:?} ");
    }
    for secret in [SECRET, "practice-access", "practice-refresh", "practice-device"] {
        assert!(!texts.contains(secret), "{secret}: {texts}");
    }
}
