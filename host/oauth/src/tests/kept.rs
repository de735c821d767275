//! Owns the tests of what is on disk, and of what a crash leaves there. Must not look at texts.

use std::os::unix::fs::PermissionsExt;

use postroom_practice::Times;
use postroom_practice::token::TokenFault;

use super::*;

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn the_token_file_is_for_its_owner_alone_and_nothing_else_is_left() {
    let world = World::new().await;
    world.signed_in().await.bearer(at(4000), false).await.unwrap();
    assert_eq!(mode(world.file.path()), 0o600);
    let mut names: Vec<_> = std::fs::read_dir(world.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["work.json", "work.json.lock"]);
}

#[tokio::test]
async fn a_token_file_that_others_can_read_is_refused_until_mended() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let set = |mode| std::fs::set_permissions(world.file.path(), PermissionsExt::from_mode(mode)).unwrap();
    set(0o640);
    let error = tokens.bearer(at(1), false).await.unwrap_err();
    assert!(matches!(error, Error::Unsafe { .. }) && error.to_string().contains("chmod 600"), "{error}");
    set(0o600);
    tokens.bearer(at(2), false).await.unwrap();
}

#[tokio::test]
async fn a_crash_after_the_answer_finds_the_new_refresh_token_on_disk() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let old = world.on_disk("refresh_token");
    let handed_out = tokens.bearer(at(4000), false).await.unwrap();
    assert_ne!(world.on_disk("refresh_token"), old);
    assert_eq!(world.on_disk("access_token"), handed_out.expose());
    drop(tokens);
    world.tokens().bearer(at(9000), false).await.unwrap();
    assert_eq!(world.server.stats().reused, 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_lose_the_rotated_token() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let old = world.on_disk("refresh_token");
    world.server.inject(TokenFault::Hold(Endpoint::Token), Times::Next(1));
    tokio::select! {
        _ = tokens.bearer(at(4000), false) => panic!("the answer was held back"),
        _ = world.server.wait_until(|stats| stats.grants("refresh_token") == 1) => {}
    }
    world.server.release();
    // Waits for the renewal under way, and takes what it brought.
    let bearer = tokens.bearer(at(4001), false).await.unwrap();
    assert_ne!(world.on_disk("refresh_token"), old);
    assert_eq!(world.on_disk("access_token"), bearer.expose());
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn an_answer_that_got_lost_ends_in_a_new_sign_in_and_says_so() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    world.server.inject(TokenFault::Drop(Endpoint::Token), Times::Next(1));
    assert!(tokens.bearer(at(4000), false).await.unwrap_err().is_transient());
    assert!(tokens.bearer(at(4030), false).await.unwrap_err().needs_sign_in());
    assert_eq!(world.server.stats().reused, 1);
}

#[tokio::test]
async fn a_server_that_does_not_rotate_leaves_the_old_refresh_token_in_place() {
    let world = World::with(TokenServerConfig::without_rotation).await;
    let tokens = world.signed_in().await;
    let old = world.on_disk("refresh_token");
    tokens.bearer(at(4000), false).await.unwrap();
    assert_eq!(world.on_disk("refresh_token"), old);
    tokens.bearer(at(9000), false).await.unwrap();
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_does_not_replace_a_sign_in() {
    let world = World::new().await;
    world.signed_in().await;
    let old = world.on_disk("refresh_token");
    let poor = crate::flow::client_credentials(&world.http, &world.client).await.unwrap();
    let error = world.file.keep(&poor, &world.client, at(1)).unwrap_err();
    assert!(matches!(error, Error::NoRefreshToken { .. }), "{error}");
    assert_eq!(world.on_disk("refresh_token"), old);
}

#[tokio::test]
async fn nothing_is_asked_of_the_server_when_the_answer_could_not_be_kept() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    // A directory of that name cannot be replaced by a file, whoever we are.
    let obstacle = world.directory.path().join("work.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    let error = tokens.bearer(at(4000), false).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    assert_eq!(world.refreshes(), 0);
    std::fs::remove_dir(&obstacle).unwrap();
    tokens.bearer(at(4001), false).await.unwrap();
}

#[tokio::test]
async fn a_refresh_token_goes_to_no_other_server_and_for_no_other_client() {
    let (one, two) = (World::new().await, World::new().await);
    one.signed_in().await;
    let (http, client, file) = (two.http.clone(), Arc::clone(&two.client), one.file.clone());
    let error = Tokens::new(Source::SignIn { http, client, file }).bearer(at(4000), false).await.unwrap_err();
    assert!(matches!(error, Error::OtherClient { .. }) && error.needs_sign_in(), "{error}");
    assert_eq!(two.server.stats().asked.len(), 0);
}

#[tokio::test]
async fn no_file_and_a_broken_file_ask_for_a_sign_in() {
    let world = World::new().await;
    let error = world.tokens().bearer(at(0), false).await.unwrap_err();
    assert!(matches!(error, Error::NotSignedIn { .. }), "{error}");
    world.signed_in().await;
    std::fs::write(world.file.path(), "{\"version\":1,\"refresh_token\":\"canary\"}").unwrap();
    let error = world.tokens().bearer(at(0), false).await.unwrap_err();
    assert!(matches!(error, Error::NotATokenFile { .. }) && error.needs_sign_in(), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[tokio::test]
async fn a_renewed_token_that_could_not_be_written_is_written_later_and_not_handed_out_before() {
    let world = World::new().await;
    let tokens = world.signed_in().await;
    let (path, aside) = (world.file.path().to_owned(), world.directory.path().join("aside"));
    world.server.inject(TokenFault::Hold(Endpoint::Token), Times::Next(1));
    let obstruct = async {
        world.server.wait_until(|stats| stats.grants("refresh_token") == 1).await;
        std::fs::rename(&path, &aside).unwrap();
        std::fs::create_dir(&path).unwrap();
        world.server.release();
    };
    let (error, ()) = tokio::join!(tokens.bearer(at(4000), false), obstruct);
    assert!(matches!(error, Err(Error::File { .. })), "{error:?}");
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    let bearer = tokens.bearer(at(4001), false).await.unwrap();
    assert_eq!(world.on_disk("access_token"), bearer.expose());
    assert!(world.server.accepts(bearer.expose()));
    assert_eq!((world.refreshes(), world.server.stats().reused), (1, 0));
}

#[tokio::test]
async fn the_status_of_a_sign_in_is_told_without_a_server_and_without_its_tokens() {
    let world = World::new().await;
    let error = world.file.status("work").unwrap_err();
    assert!(error.needs_sign_in() && error.to_string().contains("`postroom auth work`"), "{error}");
    world.signed_in().await;
    let asked = world.server.stats().asked.len();
    let status = world.file.status("work").unwrap();
    assert_eq!((status.client_id.as_str(), status.scope.as_deref()), ("client", Some("mail")));
    assert_eq!((status.obtained_at, status.expires_at), (at(0), at(3600)));
    assert_eq!(world.server.stats().asked.len(), asked);
    let shown = format!("{status:?}");
    for token in ["access_token", "refresh_token"] {
        assert!(!shown.contains(&world.on_disk(token)), "{shown}");
    }
}
