"""Phrases for when no model is available, by language and key. Every language has every key; a persona's own `canned`
overrides single ones. An empty phrase ("") says nothing: this is how a persona leaves out "welcome_back", which greets
a caller back from hold."""

from __future__ import annotations

from collections.abc import Mapping

from agent.queue_words import QUEUE_WORDS, QUEUE_WORDS_BY_LANGUAGE

__all__ = ["CANNED", "CANNED_BY_LANGUAGE", "base_language", "canned_words", "speaks", "words_of_language"]

CANNED: Mapping[str, str] = {
    "unavailable": "I'm sorry, I can't do that just now. Please give me a moment and try again.",
    "tool_failed": "I'm sorry, that didn't work just now.",
    "didnt_catch": "Sorry, I didn't catch that. Could you say it again?",
    "lost_words": "I'm sorry, I lost my train of thought. What can I do for you?",
    "one_moment": "One moment, please.",
    "still_working": "I'm still working on it.",
    "still_there": "Are you still there?",
    "still_there_again": "Hello? I'm still here if you need me.",
    "welcome_back": "I'm here.",
    "message_interrupted": "Oh, hello! Sorry, I was just leaving you a message.",
    "confirm_keys": "Press 1 for yes, or 2 for no.",
    "transfer_busy": "I'm sorry, the line is busy just now.",
    "transfer_failed": "I'm sorry, nobody could take your call just now.",
    "transfer_accept": "You have a call. Press 1 to accept it, or 2 to decline it.",
    "transfer_summary": "A caller would like to speak with you.",
    "transfer_taken": "Thank you, a colleague has taken the call.",
    "transfer_waiting": "Thank you for waiting. I'm still trying to reach somebody for you.",
    "supervisor": "A colleague is listening in from now on.",
    "transfer_consult": "Do you have any questions? Press 1 or say: put them through. Press 2 to decline.",
    "transfer_reason": "Before I connect you: may I ask what it is about?",
    "transfer_callers_words": "A caller would like to speak with you. This is what they said:",
    "goodbye": "Thank you for calling. Goodbye!",
    "goodbye_silence": "I can't hear you anymore, so I'll hang up now. Please call again any time. Goodbye!",
    "goodbye_wordless": "I'm sorry, I can't make out any words, so I'll hang up now. Please call again. Goodbye!",
    "goodbye_max_length": "I'm sorry, we've reached the time limit for this call. Thank you, and goodbye!",
    "goodbye_drain": "I'm sorry, I have to end this call now. Please call again in a little while. Goodbye!",
    "goodbye_lost": "Sorry, we lost the connection. Goodbye!",
    "goodbye_error": "I'm sorry, I'm having technical trouble. Please call again in a little while. Goodbye!",
}

_SPANISH = {
    "unavailable": "Lo siento, ahora mismo no puedo hacerlo. Deme un momento e inténtelo de nuevo, por favor.",
    "tool_failed": "Lo siento, eso no ha funcionado.",
    "didnt_catch": "Perdone, no le he entendido. ¿Puede repetirlo?",
    "lost_words": "Perdone, he perdido el hilo. ¿En qué puedo ayudarle?",
    "one_moment": "Un momento, por favor.",
    "still_working": "Sigo en ello.",
    "still_there": "¿Sigue ahí?",
    "still_there_again": "¿Hola? Sigo aquí si me necesita.",
    "welcome_back": "Aquí estoy.",
    "message_interrupted": "¡Ah, hola! Perdone, le estaba dejando un mensaje.",
    "confirm_keys": "Pulse 1 para sí o 2 para no.",
    "transfer_busy": "Lo siento, la línea está ocupada en este momento.",
    "transfer_failed": "Lo siento, ahora mismo nadie puede atender su llamada.",
    "transfer_accept": "Tiene una llamada. Pulse 1 para aceptarla o 2 para rechazarla.",
    "transfer_summary": "Una persona desea hablar con usted.",
    "transfer_taken": "Gracias, otra persona ya ha atendido la llamada.",
    "transfer_waiting": "Gracias por esperar. Sigo intentando encontrar a alguien para usted.",
    "supervisor": "A partir de ahora escucha también un compañero.",
    "transfer_consult": "¿Tiene alguna pregunta? Pulse 1 o diga: páseme la llamada. Pulse 2 para rechazarla.",
    "transfer_reason": "Antes de pasarle: ¿de qué se trata?",
    "transfer_callers_words": "Una persona desea hablar con usted. Ha dicho lo siguiente:",
    "goodbye": "Gracias por llamar. ¡Adiós!",
    "goodbye_silence": "Ya no le oigo, así que voy a colgar. Llame de nuevo cuando quiera. ¡Adiós!",
    "goodbye_wordless": "Lo siento, no entiendo ni una palabra, así que voy a colgar. Llame de nuevo. ¡Adiós!",
    "goodbye_max_length": "Lo siento, se ha acabado el tiempo para esta llamada. Gracias y adiós.",
    "goodbye_drain": "Lo siento, tengo que terminar la llamada. Llame de nuevo dentro de un rato, por favor. ¡Adiós!",
    "goodbye_lost": "Lo siento, se ha cortado la conexión. ¡Adiós!",
    "goodbye_error": "Lo siento, tengo problemas técnicos. Llame de nuevo dentro de un rato, por favor. ¡Adiós!",
}
_FRENCH = {
    "unavailable": "Je suis désolé, je ne peux pas le faire pour le moment. Veuillez réessayer dans un instant.",
    "tool_failed": "Je suis désolé, cela n'a pas fonctionné.",
    "didnt_catch": "Pardon, je n'ai pas compris. Pouvez-vous répéter ?",
    "lost_words": "Pardon, j'ai perdu le fil. Que puis-je faire pour vous ?",
    "one_moment": "Un instant, s'il vous plaît.",
    "still_working": "Je m'en occupe toujours.",
    "still_there": "Êtes-vous toujours là ?",
    "still_there_again": "Allô ? Je suis toujours là si vous avez besoin de moi.",
    "welcome_back": "Je suis là.",
    "message_interrupted": "Ah, bonjour ! Pardon, je vous laissais justement un message.",
    "confirm_keys": "Tapez 1 pour oui, ou 2 pour non.",
    "transfer_busy": "Je suis désolé, la ligne est occupée pour le moment.",
    "transfer_failed": "Je suis désolé, personne n'a pu prendre votre appel.",
    "transfer_accept": "Vous avez un appel. Tapez 1 pour l'accepter, ou 2 pour le refuser.",
    "transfer_summary": "Une personne souhaite vous parler.",
    "transfer_taken": "Merci, un collègue a pris l'appel.",
    "transfer_waiting": "Merci de patienter. J'essaie toujours de joindre quelqu'un pour vous.",
    "supervisor": "Un collègue écoute la conversation à partir de maintenant.",
    "transfer_consult": "Avez-vous des questions ? Tapez 1 ou dites : passez-moi l'appel. Tapez 2 pour refuser.",
    "transfer_reason": "Avant de vous mettre en relation : puis-je savoir de quoi il s'agit ?",
    "transfer_callers_words": "Une personne souhaite vous parler. Voici ce qu'elle a dit :",
    "goodbye": "Merci de votre appel. Au revoir !",
    "goodbye_silence": "Je ne vous entends plus, je vais donc raccrocher. Rappelez quand vous voulez. Au revoir !",
    "goodbye_wordless": "Désolé, je ne distingue aucun mot, je vais donc raccrocher. Veuillez rappeler. Au revoir !",
    "goodbye_max_length": "Je suis désolé, le temps prévu pour cet appel est écoulé. Merci et au revoir !",
    "goodbye_drain": "Je suis désolé, je dois mettre fin à cet appel. Veuillez rappeler dans un moment. Au revoir !",
    "goodbye_lost": "Désolé, la communication a été coupée. Au revoir !",
    "goodbye_error": "Je suis désolé, j'ai un problème technique. Veuillez rappeler dans un moment. Au revoir !",
}
_GERMAN = {
    "unavailable": "Das kann ich im Moment leider nicht tun. Bitte versuchen Sie es gleich noch einmal.",
    "tool_failed": "Das hat leider gerade nicht geklappt.",
    "didnt_catch": "Entschuldigung, das habe ich nicht verstanden. Können Sie es bitte wiederholen?",
    "lost_words": "Entschuldigung, ich habe den Faden verloren. Was kann ich für Sie tun?",
    "one_moment": "Einen Moment, bitte.",
    "still_working": "Ich bin noch dabei.",
    "still_there": "Sind Sie noch da?",
    "still_there_again": "Hallo? Ich bin noch da, wenn Sie mich brauchen.",
    "welcome_back": "Ich bin da.",
    "message_interrupted": "Oh, hallo! Entschuldigung, ich wollte Ihnen gerade eine Nachricht hinterlassen.",
    "confirm_keys": "Drücken Sie die 1 für ja oder die 2 für nein.",
    "transfer_busy": "Es ist dort leider gerade besetzt.",
    "transfer_failed": "Dort ist leider gerade niemand zu erreichen.",
    "transfer_accept": "Sie haben einen Anruf. Drücken Sie 1, um ihn anzunehmen, oder 2, um ihn abzulehnen.",
    "transfer_summary": "Jemand möchte mit Ihnen sprechen.",
    "transfer_taken": "Vielen Dank, ein Kollege hat den Anruf angenommen.",
    "transfer_waiting": "Danke fürs Warten. Ich versuche noch, jemanden für Sie zu erreichen.",
    "supervisor": "Ab jetzt hört eine Kollegin oder ein Kollege mit.",
    "transfer_consult": "Haben Sie Fragen? Drücken Sie 1 oder sagen Sie: Stellen Sie durch. Mit der 2 lehnen Sie ab.",
    "transfer_reason": "Bevor ich Sie verbinde: Worum geht es denn?",
    "transfer_callers_words": "Jemand möchte mit Ihnen sprechen. Das hat er gesagt:",
    "goodbye": "Vielen Dank für Ihren Anruf. Auf Wiederhören!",
    "goodbye_silence": "Ich höre Sie nicht mehr und lege jetzt auf. Rufen Sie gern wieder an. Auf Wiederhören!",
    "goodbye_wordless": "Ich verstehe leider kein Wort und lege jetzt auf. Bitte rufen Sie wieder an. Auf Wiederhören!",
    "goodbye_max_length": "Die Zeit für dieses Gespräch ist leider um. Vielen Dank und auf Wiederhören!",
    "goodbye_drain": "Ich muss das Gespräch leider beenden. Bitte rufen Sie etwas später wieder an. Auf Wiederhören!",
    "goodbye_lost": "Die Verbindung ist leider abgebrochen. Auf Wiederhören!",
    "goodbye_error": "Ich habe leider technische Probleme. Bitte rufen Sie etwas später wieder an. Auf Wiederhören!",
}
_ITALIAN = {
    "unavailable": "Mi dispiace, in questo momento non posso farlo. Mi dia un attimo e riprovi, per favore.",
    "tool_failed": "Mi dispiace, non ha funzionato.",
    "didnt_catch": "Mi scusi, non ho capito. Può ripetere?",
    "lost_words": "Mi scusi, ho perso il filo. Che cosa posso fare per lei?",
    "one_moment": "Un momento, per favore.",
    "still_working": "Ci sto ancora lavorando.",
    "still_there": "È ancora in linea?",
    "still_there_again": "Pronto? Sono ancora qui, se ha bisogno di me.",
    "welcome_back": "Sono qui.",
    "message_interrupted": "Oh, buongiorno! Mi scusi, le stavo lasciando un messaggio.",
    "confirm_keys": "Prema 1 per sì o 2 per no.",
    "transfer_busy": "Mi dispiace, la linea è occupata in questo momento.",
    "transfer_failed": "Mi dispiace, in questo momento nessuno può rispondere.",
    "transfer_accept": "C'è una chiamata per lei. Prema 1 per accettarla o 2 per rifiutarla.",
    "transfer_summary": "Una persona desidera parlare con lei.",
    "transfer_taken": "Grazie, un collega ha preso la chiamata.",
    "transfer_waiting": "Grazie per l'attesa. Sto ancora cercando qualcuno per lei.",
    "supervisor": "Da questo momento è in ascolto anche un collega.",
    "transfer_consult": "Ha domande? Prema 1 o dica: mi passi la chiamata. Prema 2 per rifiutarla.",
    "transfer_reason": "Prima di passarle qualcuno: posso chiederle di che cosa si tratta?",
    "transfer_callers_words": "Una persona desidera parlare con lei. Ha detto questo:",
    "goodbye": "Grazie per aver chiamato. Arrivederci!",
    "goodbye_silence": "Non la sento più, quindi ora riaggancio. Richiami quando vuole. Arrivederci!",
    "goodbye_wordless": "Mi dispiace, non distinguo le parole, quindi riaggancio. Richiami, per favore. Arrivederci!",
    "goodbye_max_length": "Mi dispiace, il tempo per questa chiamata è finito. Grazie e arrivederci!",
    "goodbye_drain": "Mi dispiace, devo terminare la chiamata. Richiami tra poco, per favore. Arrivederci!",
    "goodbye_lost": "Mi dispiace, è caduta la linea. Arrivederci!",
    "goodbye_error": "Mi dispiace, ho un problema tecnico. Richiami tra poco, per favore. Arrivederci!",
}
_PORTUGUESE = {
    "unavailable": "Desculpe, agora não consigo fazer isso. Aguarde um momento e tente de novo, por favor.",
    "tool_failed": "Desculpe, isso não funcionou.",
    "didnt_catch": "Desculpe, não entendi. Pode repetir?",
    "lost_words": "Desculpe, perdi o fio à meada. Em que posso ajudar?",
    "one_moment": "Um momento, por favor.",
    "still_working": "Ainda estou a tratar disso.",
    "still_there": "Ainda está na linha?",
    "still_there_again": "Alô? Continuo aqui se precisar de mim.",
    "welcome_back": "Estou aqui.",
    "message_interrupted": "Ah, olá! Desculpe, estava a deixar-lhe uma mensagem.",
    "confirm_keys": "Prima 1 para sim ou 2 para não.",
    "transfer_busy": "Lamento, a linha está ocupada neste momento.",
    "transfer_failed": "Lamento, de momento ninguém pode atender.",
    "transfer_accept": "Tem uma chamada. Prima 1 para a aceitar ou 2 para a recusar.",
    "transfer_summary": "Uma pessoa deseja falar consigo.",
    "transfer_taken": "Obrigado, um colega já atendeu a chamada.",
    "transfer_waiting": "Obrigado por aguardar. Ainda estou a tentar encontrar alguém para si.",
    "supervisor": "A partir de agora, um colega está também a ouvir.",
    "transfer_consult": "Tem perguntas? Prima 1 ou diga: passe a chamada. Prima 2 para recusar.",
    "transfer_reason": "Antes de passar a chamada: posso saber de que se trata?",
    "transfer_callers_words": "Uma pessoa deseja falar consigo. Foi isto que disse:",
    "goodbye": "Obrigado por ligar. Até logo!",
    "goodbye_silence": "Já não consigo ouvir, por isso vou desligar. Volte a ligar quando quiser. Até logo!",
    "goodbye_wordless": "Desculpe, não distingo nenhuma palavra, por isso vou desligar. Volte a ligar. Até logo!",
    "goodbye_max_length": "Desculpe, o tempo desta chamada acabou. Obrigado e até logo!",
    "goodbye_drain": "Desculpe, tenho de terminar a chamada. Ligue de novo daqui a pouco, por favor. Até logo!",
    "goodbye_lost": "Desculpe, a ligação caiu. Até logo!",
    "goodbye_error": "Desculpe, estou com problemas técnicos. Ligue de novo daqui a pouco, por favor. Até logo!",
}

CANNED_BY_LANGUAGE: Mapping[str, Mapping[str, str]] = {
    "en": CANNED,
    "es": _SPANISH,
    "fr": _FRENCH,
    "de": _GERMAN,
    "it": _ITALIAN,
    "pt": _PORTUGUESE,
}


def base_language(tag: str) -> str:
    """`es` of "es", "es-MX" or "es_419"."""
    return tag.replace("_", "-").partition("-")[0].lower()


def speaks(language: str) -> bool:
    """Whether there are canned words in this language. Empty: the default, English."""
    return not language or base_language(language) in CANNED_BY_LANGUAGE


def words_of_language(language: str) -> Mapping[str, str]:
    """By key; English for an unknown language."""
    return CANNED_BY_LANGUAGE.get(base_language(language), CANNED)


def canned_words(key: str, own: Mapping[str, str], language: str) -> str:
    """The persona's own phrase for `key`, else its language's. Raises KeyError for an unknown key."""
    if key in own:
        return own[key]
    words = words_of_language(language)
    if key in words:
        return words[key]
    return QUEUE_WORDS_BY_LANGUAGE.get(base_language(language), QUEUE_WORDS)[key]
